"""YAML 1.2 core schema, and the places of keys and values."""

from __future__ import annotations

import math

import pytest

from hcsyncd.config.finding import Report
from hcsyncd.config.yaml_tree import Listing, Node, Scalar, Table, Value, core_value, read_yaml


def tree(text: str) -> Node:
    report = Report()
    node = read_yaml(text, "x.yaml", report)
    assert report.findings() == ()
    assert node is not None
    return node


def value(text: str) -> Value:
    node = tree(f"key: {text}\n")
    assert isinstance(node, Table)
    scalar = node.entries["key"].value
    assert isinstance(scalar, Scalar)
    return scalar.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None), ("nUll", "nUll"),
        ("true", True), ("FALSE", False), ("tRue", "tRue"),
        ("0", 0), ("-12", -12), ("+7", 7), ("0o17", 15), ("0x1F", 31), ("12a", "12a"),
        ("1.5", 1.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("1E-2", 0.01),
        ("2026-01-31", "2026-01-31"), ("127.0.0.1:2575", "127.0.0.1:2575"), ("v1_0", "v1_0"), ("1.2.3", "1.2.3"),
        ('"yes"', "yes"), ("'0123'", "0123"), ('"12:30"', "12:30"), ('""', ""), ('"true"', "true"),
        ("${PORT:-2575}", "${PORT:-2575}"), ("ADT^A0?", "ADT^A0?"), ("9" * 21, "9" * 21),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(text: str, expected: Value) -> None:
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


def test_special_numbers() -> None:
    assert core_value(".inf") == math.inf
    assert core_value("-.INF") == -math.inf
    found = core_value(".NaN")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    "text",
    ["yes", "No", "ON", "off", "y", "N", "0123", "00", "+010", "12:30", "1:20:30.5", "1_000", "0b101", "0x_F", "1_0.5"],
)
def test_traps_of_the_older_version_are_refused_and_quoted_ones_are_texts(text: str) -> None:
    report = Report()
    read_yaml(f"a: {text}\n", "x.yaml", report)
    (finding,) = report.findings()
    assert (finding.code, finding.line, finding.column) == ("yaml-trap", 1, 4)
    assert "quote it" in finding.hint
    assert value(f'"{text}"') == text


def test_every_key_and_value_has_its_place() -> None:
    node = tree("a: 1\nb:\n  - x\n  - c: [p, 'q']\nd: |\n  long\n")
    assert isinstance(node, Table)
    assert [(entry.key_place.line, entry.key_place.column) for entry in node.entries.values()] == [
        (1, 1),
        (2, 1),
        (5, 1),
    ]
    listing = node.entries["b"].value
    assert isinstance(listing, Listing)
    inner = listing.items[1]
    assert isinstance(inner, Table)
    flow = inner.entries["c"].value
    assert isinstance(flow, Listing)
    places = [(item.place.line, item.place.column) for item in (*listing.items, *flow.items)]
    assert places == [(3, 5), (4, 5), (4, 9), (4, 12)]


def test_columns_count_characters_not_bytes() -> None:
    node = tree("{ü: ä, key: value}\n")
    assert isinstance(node, Table)
    assert node.entries["key"].value.place.column == 13


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "---\n", "---\n...\n", "~\n"])
def test_an_empty_file_is_the_null_scalar(text: str) -> None:
    node = tree(text)
    assert isinstance(node, Scalar)
    assert node.value is None


def test_a_key_without_text_is_refused() -> None:
    report = Report()
    node = read_yaml("{'': a, b: c}\n", "x.yaml", report)
    assert [str(finding) for finding in report.findings()] == ["x.yaml:1:2 error yaml-key: a key must be a text"]
    assert isinstance(node, Table)
    assert list(node.entries) == ["b"]


def test_a_merge_of_an_alias_is_one_finding() -> None:
    report = Report()
    read_yaml("a: &a {b: 1}\nc:\n  <<: *a\n", "x.yaml", report)
    assert [(finding.line, finding.code) for finding in report.findings()] == [(3, "yaml-alias")]


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    report = Report()
    assert read_yaml("\n".join(lines), "x.yaml", report) is not None
    assert {finding.code for finding in report.findings()} == {"yaml-alias"}

"""What differs is said by path, line or field, and what is equal is not mentioned."""

from __future__ import annotations

from typing import Any

import pytest

from hcsyncd.config.cases import Expectation
from hcsyncd.formats.registry import FORMATS
from hcsyncd.runtime.difference import MAX_SHOWN, Leaving, differences, json_differences, shown

HL7 = FORMATS["hl7"].build(FORMATS["hl7"].options())
BODY = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\rPID|1||123\r"


def said(wanted: Expectation, body: bytes) -> list[str]:
    return list(differences(wanted, Leaving("out", body), HL7))


@pytest.mark.parametrize(
    ("wanted", "found", "texts"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": "x"}, {"a": "y"}, ["$.a is 'y', expected 'x'"]),
        ({"a": 1}, {}, ["$.a is missing, expected 1"]),
        ({}, {"a": 1}, ["$.a is 1, not expected"]),
        ({"a": [1, 2]}, {"a": [1]}, ["$.a[1] is missing, expected 2"]),
        ([1], {"a": 1}, ["$ is {'a': 1}, expected [1]"]),
        ({"a": True}, {"a": 1}, ["$.a is 1, expected True"]),
        (None, 0, ["$ is 0, expected None"]),
        ({"a": None}, {}, ["$.a is missing, expected None"]),
    ],
)
def test_json_differs_by_path(wanted: Any, found: Any, texts: list[str]) -> None:
    assert list(json_differences(wanted, found)) == texts


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        (Expectation("out", 1, body=BODY), []),
        (
            Expectation("out", 1, body=BODY.replace(b"123", b"124")),
            ["out: line 2 of the body is 'PID|1||123', expected 'PID|1||124'"],
        ),
        (Expectation("out", 1, contains=("PID|1", "ADT^A01")), []),
        (Expectation("out", 1, fields={"PID-3": "123", "PID-4": None, "ZZZ-1": None}), []),
        (
            Expectation("out", 1, fields={"PID-3": "9", "MSH-10": None, "PID-4": "x"}),
            [
                "out: PID-3 is '123', expected '9'",
                "out: MSH-10 is '1', expected nothing",
                "out: PID-4 is nothing, expected 'x'",
            ],
        ),
    ],
)
def test_a_body_differs_by_line_text_and_field(wanted: Expectation, texts: list[str]) -> None:
    assert said(wanted, BODY) == texts


def test_line_ends_that_differ_are_told_apart() -> None:
    (text,) = said(Expectation("out", 1, body=b"a\r\nb"), b"a\nb")
    assert "line ends differ" in text


def test_a_text_that_is_missing_is_shown_beside_the_body() -> None:
    (text,) = said(Expectation("out", 1, contains=("nowhere",)), b"short")
    assert text == "out: the body does not hold 'nowhere': 'short'"


def test_bodies_that_cannot_be_read_are_problems_and_no_errors() -> None:
    (text,) = said(Expectation("out", 1, json={}, checks_json=True), b"{")
    assert "not JSON" in text
    (text,) = said(Expectation("out", 1, fields={"PID-3": "1"}), b"{")
    assert "the fields cannot be read" in text


def test_null_may_be_expected_on_purpose() -> None:
    assert said(Expectation("out", 1, json=None, checks_json=True), b"null") == []
    assert said(Expectation("out", 1, json=None, checks_json=True), b"0") != []
    assert said(Expectation("out", 1), b"anything") == []


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 1000)) == MAX_SHOWN

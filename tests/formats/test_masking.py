"""A masked value tells its form and nothing else."""

from __future__ import annotations

import pytest

from hcsyncd.formats.masking import mask, masked


@pytest.mark.parametrize(
    ("value", "form"),
    [("Müller-9", "xxxxxx-9"), ("1970-01-01", "9999-99-99"), ("", ""), ("病院", "xx"), ("٣", "9")],
)
def test_letters_and_digits_are_taken_away(value: str, form: str) -> None:
    assert mask(value) == form


def test_a_long_value_is_cut_and_its_length_told() -> None:
    assert mask("a" * 61) == f"{'x' * 60}… (61 characters)"


@pytest.mark.parametrize("path", ["MSH-9.1", "MSH-10", "MSA-2", "MSA(2)-1"])
def test_the_header_is_plain(path: str) -> None:
    assert masked(path, "ADT") == ("xxx" if "(" in path else "ADT")


@pytest.mark.parametrize("path", ["PID-3.1", "MSH-8", "XMSH-9", "order.MSH-9", "OBX-5"])
def test_everything_else_is_not(path: str) -> None:
    assert masked(path, "Doe 1") == "xxx 9"

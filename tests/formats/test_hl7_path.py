from __future__ import annotations

import pytest

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.path import Path, parse_path

FORMS = {
    "ZPI": Path("ZPI"),
    "OBX(2)": Path("OBX", 2),
    "PID-3": Path("PID", 0, 3),
    "MSH-1": Path("MSH", 0, 1),
    "PID-3[2]": Path("PID", 0, 3, 2),
    "PID-3.1": Path("PID", 0, 3, 0, 1),
    "PID-3.1.2": Path("PID", 0, 3, 0, 1, 2),
    "PID-3[2].1": Path("PID", 0, 3, 2, 1),
    "OBX(3)-5": Path("OBX", 3, 5),
    "OBX(3)-5[2].1.4": Path("OBX", 3, 5, 2, 1, 4),
    "Z01-12": Path("Z01", 0, 12),
}


@pytest.mark.parametrize("text", FORMS)
def test_reads_every_form(text: str) -> None:
    assert parse_path(text) == FORMS[text]
    assert str(parse_path(text)) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pid-3", "PID-3"),
        ("PID.3.1", "PID-3.1"),
        ("PID-3-1", "PID-3.1"),
        ("PID-3-1-2", "PID-3.1.2"),
        ("PID-3(2).1", "PID-3[2].1"),
        ("OBX[3]-5", "OBX(3)-5"),
        ("PID.F3.R2.C1.S4", "PID-3[2].1.4"),
        (" PID-3", "PID-3"),
    ],
)
def test_names_the_likely_fix(text: str, meant: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_path(text)
    assert caught.value.reason == "bad-path"
    assert str(caught.value).endswith(f"(did you mean {meant}?)")


@pytest.mark.parametrize("text", ["PID-0", "PID(0)-3", "PID-3[0]", "PID-3.0", "PID-3.1.0"])
def test_counts_from_one(text: str) -> None:
    with pytest.raises(FormatError, match="everything counts from 1"):
        parse_path(text)


@pytest.mark.parametrize(
    "text", ["", "PI", "PIDX-1", "PID-", "PID-x", "PID-3.1.2.3", "PID-3 ", "-3", "PID-3\n", "3PI-1"]
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_path(text)
    assert caught.value.reason == "bad-path"

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hcsyncd.errors import FormatError
from hcsyncd.formats.fixed import FORMAT, Column, FixedDocument, FixedFormat, FixedOptions
from hcsyncd.message import Keys

COLUMNS = (
    Column(name="item", start=1, length=4),
    Column(name="qty", start=6, length=5, align="right", pad="0"),
    Column(name="ward", start=11, length=3),
)
STOCK = b"A1   00002ICU tail\r\nB2   00010\n\nC3"


@pytest.fixture
def document() -> FixedDocument:
    return FixedDocument(STOCK, COLUMNS)


def test_reads(document: FixedDocument) -> None:
    assert len(document) == 3
    assert document["row[1].item"] == "A1"
    assert document["row[1].qty"] == "2"
    assert document.all("row.ward") == ["ICU", "", ""]
    assert document.get("row.qty") == "2"
    assert document.get("row[4].item") is None
    assert document.rows[1] == {"item": "B2", "qty": "10", "ward": ""}


def test_what_is_only_read_stays_byte_for_byte(document: FixedDocument) -> None:
    assert document.rows
    assert document.to_bytes() == STOCK


def test_a_change_touches_nothing_else(document: FixedDocument) -> None:
    document["row[1].qty"] = "17"
    document["row[3].ward"] = "OR"
    assert document.to_bytes() == b"A1   00017ICU tail\r\nB2   00010\n\nC3        OR "


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("row[1].item", "ABCDE", "bad-value"),
        ("row[1].item", "A\n", "bad-value"),
        ("row[4].item", "A", "bad-path"),
        ("row.item", "A", "bad-path"),
        ("row[1].price", "1", "bad-path"),
    ],
)
def test_what_has_no_room_is_refused(document: FixedDocument, path: str, value: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        document[path] = value
    assert caught.value.reason == reason
    assert document.to_bytes() == STOCK


def test_positions_count_characters() -> None:
    document = FixedDocument("ñé   00002\n".encode(), COLUMNS)
    assert (document["row[1].item"], document["row[1].qty"]) == ("ñé", "2")


def test_the_format_knows_its_columns() -> None:
    format_ = FixedFormat(FixedOptions(columns=COLUMNS, control_id_path="row[1].item"))
    assert format_.peek(STOCK).keys == Keys("", "A1", "", "")
    format_.check_path("row.ward")
    with pytest.raises(FormatError, match="no column 'price'; columns are item, qty, ward"):
        format_.check_path("row.price")


@pytest.mark.parametrize(
    "columns",
    [
        [],
        [{"name": "a", "start": 0, "length": 1}],
        [{"name": "a", "start": 1, "length": 2}, {"name": "b", "start": 2, "length": 1}],
        [{"name": "a", "start": 1, "length": 1}, {"name": "a", "start": 2, "length": 1}],
    ],
)
def test_options_are_checked(columns: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        FORMAT.options.model_validate({"columns": columns})

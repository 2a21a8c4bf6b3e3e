from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from hcsyncd.errors import FormatError
from hcsyncd.formats.delimited import DelimitedDocument, DelimitedFormat, DelimitedOptions, Dialect, parse_row_path
from hcsyncd.message import Keys

STOCK = b'item,"name",qty\r\nA1,"Hip, left",2\r\n\r\nB2,"Knee ""R""",10'


@pytest.fixture
def document() -> DelimitedDocument:
    return DelimitedDocument(STOCK)


def test_reads(document: DelimitedDocument) -> None:
    assert document.columns == ["item", "name", "qty"]
    assert len(document) == 2
    assert document.get("row[1].name") == "Hip, left"
    assert document["row[2].2"] == 'Knee "R"'
    assert document.all("row.qty") == document.all("row[*].qty") == ["2", "10"]
    assert document.get("row.item") == "A1"
    assert document.rows[1] == {"item": "B2", "name": 'Knee "R"', "qty": "10"}


@pytest.mark.parametrize("path", ["row[3].item", "row.price", "row[1].4"])
def test_nothing_is_none(document: DelimitedDocument, path: str) -> None:
    assert document.get(path) is None
    assert document[path] == ""


def test_what_is_only_read_stays_byte_for_byte(document: DelimitedDocument) -> None:
    assert document.rows
    assert document.to_bytes() == STOCK


def test_a_change_writes_only_its_row_anew(document: DelimitedDocument) -> None:
    document["row[2].qty"] = "1,5"
    document.add_row({"item": "C3", "qty": "7"})
    document.add_row(["D4"])
    assert document.to_bytes() == (
        b'item,"name",qty\r\nA1,"Hip, left",2\r\n\r\nB2,"Knee ""R""","1,5"\r\nC3,,7\r\nD4\r\n'
    )
    document.delete_row(1)
    assert document.to_bytes().startswith(b'item,"name",qty\r\n\r\nB2')


@pytest.mark.parametrize("path", ["row[3].item", "row.item", "row[1].price"])
def test_what_is_not_there_is_not_written(document: DelimitedDocument, path: str) -> None:
    with pytest.raises(FormatError, match="columns are item, name, qty") as caught:
        document[path] = "x"
    assert caught.value.reason == "bad-path"
    assert document.to_bytes() == STOCK


def test_unknown_columns_and_rows_are_refused(document: DelimitedDocument) -> None:
    with pytest.raises(FormatError, match="no column 'price'"):
        document.add_row({"price": "1"})
    with pytest.raises(FormatError, match="no row 3"):
        document.delete_row(3)


def test_without_a_header_columns_are_numbers() -> None:
    document = DelimitedDocument(b"A1;2\nB2;3\n", Dialect(delimiter=";", header=False))
    assert document["row[2].1"] == "B2"
    document["row[1].3"] = "x"
    assert document.to_bytes() == b"A1;2;x\nB2;3\n"
    assert document.rows[1] == {"1": "B2", "2": "3"}


def test_without_quotes_a_delimiter_cannot_be_written() -> None:
    document = DelimitedDocument(b'a\tb\n"x\ty"\n', Dialect(delimiter="\t", quote=""))
    assert document["row[1].a"] == '"x'
    document["row[1].a"] = "p\tq"
    with pytest.raises(FormatError) as caught:
        document.to_bytes()
    assert caught.value.reason == "bad-value"


def test_values_over_lines_and_a_byte_order_mark() -> None:
    body = b'\xef\xbb\xbfitem,note\n1,"two\nlines"\n2,x\n'
    document = DelimitedDocument(body)
    assert document["row[1].note"] == "two\nlines"
    document["row[2].note"] = "ü"
    assert document.to_bytes() == '\ufeffitem,note\n1,"two\nlines"\n2,ü\n'.encode()


def test_a_character_set_of_its_own() -> None:
    document = DelimitedDocument("a\nñ\n".encode("latin-1"), Dialect(charset="latin-1"))
    assert document["row[1].a"] == "ñ"
    document["row[1].a"] = "Ł"
    with pytest.raises(FormatError, match=r"latin-1 cannot write U\+0141"):
        document.to_bytes()


@pytest.mark.parametrize(
    ("body", "reason"), [(b"a\n\xff\n", "not-decodable"), (b'a\n"x\n', "bad-row"), (b'a\n"x"y\n', "bad-row")]
)
def test_what_is_no_table_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        DelimitedDocument(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize("path", ["", "row", "row[1]", "row[0].a", "row[x].a", "line[1].a", "row[1]a"])
def test_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_row_path(path)
    assert caught.value.reason == "bad-path"


def test_keys_are_where_the_channel_says() -> None:
    format_ = DelimitedFormat(DelimitedOptions(type_path="row.name", control_id_path="row[2].item"))
    assert format_.peek(STOCK).keys == Keys("Hip, left", "B2", "", "")


@pytest.mark.parametrize(
    "options", [{"delimiter": ""}, {"delimiter": ",,"}, {"delimiter": '"'}, {"charset": "klingon"}, {"type_path": "x"}]
)
def test_options_are_checked(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        DelimitedOptions.model_validate(options)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_read_as_it_was_written(value: str) -> None:
    document = DelimitedDocument(b"a,b\n1,2\n")
    document["row[1].b"] = value
    assert DelimitedDocument(document.to_bytes())["row[1].b"] == value

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.json_document import JsonDocument, JsonFormat, JsonOptions, parse_json_path
from hcsyncd.message import Keys

ORDER = b"""{ "order": {"id": "PO1", "total": 12.50, "paid": false, "note": null, "ward": "Z\\u00f6e",
  "lines": [{"item": "A", "qty": 2}, {"item": "B", "qty": 10}],
  "a.b": {"[x]": "odd"}, "big": 123456789012345678901234} }"""


@pytest.fixture
def document() -> JsonDocument:
    return JsonDocument(ORDER)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("order.id", "PO1"),
        ("order.total", "12.50"),
        ("order.paid", "false"),
        ("order.note", None),
        ("order.ward", "Zöe"),
        ("order.lines[1].item", "B"),
        ("order.lines[0]", '{"item":"A","qty":2}'),
        ("order.lines[*].qty", "2"),
        ('order["a.b"]["[x]"]', "odd"),
        ("order.big", "123456789012345678901234"),
        ("order.lines[2]", None),
        ("order.lines.item", None),
        ("order[0]", None),
        ("nothing", None),
    ],
)
def test_reads(document: JsonDocument, path: str, value: str | None) -> None:
    assert document.get(path) == value
    assert document[path] == (value or "")
    assert (path in document) == (value is not None)


def test_all_goes_over_lists(document: JsonDocument) -> None:
    assert document.all("order.lines[*].item") == ["A", "B"]
    assert document.all("order.note") == []


def test_value_is_python_s_own_and_a_copy(document: JsonDocument) -> None:
    assert document.value("order.total") == Decimal("12.50")
    lines = document.value("order.lines")
    lines.clear()
    assert document.all("order.lines[*].item") == ["A", "B"]
    assert document.value()["order"]["id"] == "PO1"
    assert document.value("nothing") is None


def test_what_is_only_read_stays_byte_for_byte(document: JsonDocument) -> None:
    assert document["order.id"]
    assert document.to_bytes() == ORDER


def test_a_change_keeps_order_and_digits(document: JsonDocument) -> None:
    document["order.id"] = "PO2"
    document["order.lines[2].item"] = "C"
    document["order.new.deep"] = [1, True, None, Decimal("0.10")]
    document.delete("order.lines[0]")
    document.delete("order.a.b")
    document.delete("order.paid")
    assert document.to_bytes().decode() == (
        '{"order":{"id":"PO2","total":12.50,"note":null,"ward":"Zöe","lines":[{"item":"B","qty":10},{"item":"C"}],'
        '"a.b":{"[x]":"odd"},"big":123456789012345678901234,"new":{"deep":[1,true,null,0.10]}}}'
    )


def test_null_on_the_way_makes_room(document: JsonDocument) -> None:
    document["order.note.text"] = "x"
    assert document["order.note.text"] == "x"


def test_a_list_at_the_root() -> None:
    document = JsonDocument(b'[{"a": 1}]')
    document["[0].a"] = 2
    assert document.to_bytes() == b'[{"a":2}]'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("order.id.x", "needs an object"),
        ("order.lines.x", "needs an object"),
        ("order[0]", "needs a list"),
        ("order.lines[5].item", "the next is \\[2\\]"),
        ("order.lines[*].item", "name one index"),
    ],
)
def test_what_cannot_be_written_says_why(document: JsonDocument, path: str, text: str) -> None:
    with pytest.raises(FormatError, match=text) as caught:
        document[path] = "x"
    assert caught.value.reason == "bad-path"


def test_what_json_cannot_hold_is_refused(document: JsonDocument) -> None:
    document["order.id"] = object()
    with pytest.raises(FormatError) as caught:
        document.to_bytes()
    assert caught.value.reason == "not-encodable"


@pytest.mark.parametrize("path", ["", ".", "a.", "a..b", "a[", "a[x]", "a[-1]", "a]b", 'a["b', "a b[0]c"])
def test_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_json_path(path)
    assert caught.value.reason == "bad-path"


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"{'a': 1}", b"[NaN]", b'"\xff"', b"[" * 100_000, b"1 2"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        JsonDocument(body)
    assert caught.value.reason == "bad-json"


def test_says_where_json_ends() -> None:
    with pytest.raises(FormatError) as caught:
        JsonDocument(b'{"a": 1, b}')
    assert caught.value.offset == 9


def test_a_byte_order_mark_is_passed_over() -> None:
    assert JsonDocument(b'\xef\xbb\xbf{"a": "x"}')["a"] == "x"


def test_keys_are_where_the_channel_says() -> None:
    options = JsonOptions(type_path="order.kind", control_id_path="order.id", sender_path="order.lines[0].item")
    assert JsonFormat(options).peek(ORDER).keys == Keys("", "PO1", "A", "")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.[]", min_size=1), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_value_is_read_as_it_was_written(value: object) -> None:
    document = JsonDocument(b"{}")
    document["x.y"] = value
    assert JsonDocument(document.to_bytes()).value("x.y") == value

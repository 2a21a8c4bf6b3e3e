from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.xml_document import XmlDocument, XmlFormat, XmlOptions, check_xml, parse_xml_path
from hcsyncd.message import Keys

ORDER = """<?xml version="1.0" encoding="UTF-8"?>
<!-- kept -->
<Order xmlns="urn:o" xmlns:cbc="urn:c" id="PO1" cbc:kind='new'>
  text
  <cbc:Line id="1"><Item><![CDATA[A & B]]></Item></cbc:Line>
  <cbc:Line id="2"><Item>Zöe &lt;1&gt;</Item><Qty/></cbc:Line>
</Order>
""".encode()

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><lolz>&b;</lolz>"""
FILE = b"""<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>"""


@pytest.fixture
def document() -> XmlDocument:
    return XmlDocument(ORDER)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Order/@id", "PO1"),
        ("/Order/@id", "PO1"),
        ("Order[1]/@id", "PO1"),
        ("Order/@cbc:kind", "new"),
        ("Order/@kind", "new"),
        ("Order", "text"),
        ("Order/Line/Item", "A & B"),
        ("Order/cbc:Line[2]/Item", "Zöe <1>"),
        ("Order/Line[2]/@id", "2"),
        ("Order/Line[2]/Qty", ""),
        ("Order/Line[3]", None),
        ("Order[2]", None),
        ("Order/@nothing", None),
        ("Invoice/@id", None),
        ("Order/xyz:Line", None),
    ],
)
def test_reads(document: XmlDocument, path: str, value: str | None) -> None:
    assert document.get(path) == value
    assert document[path] == (value or "")
    assert (path in document) == (value is not None)


def test_all_goes_over_elements(document: XmlDocument) -> None:
    assert document.all("Order/Line/Item") == ["A & B", "Zöe <1>"]
    assert document.all("Order/Line/@id") == ["1", "2"]
    assert document.all("Order/Line[1]/Qty") == []


def test_what_is_only_read_stays_byte_for_byte(document: XmlDocument) -> None:
    assert document["Order/@id"]
    assert document.to_bytes() == ORDER


def test_a_change_keeps_prefixes_comments_and_the_rest(document: XmlDocument) -> None:
    document["Order/Line[2]/Item"] = "C < D"
    document["Order/Line[2]/@id"] = '"3"'
    document["Order/Line[1]/Note"] = "new"
    document["Order/@status"] = "open"
    document.delete("Order/Line[2]/Qty")
    document.delete("Order/@kind")
    document.delete("Order/Line[7]")
    rendered = document.to_bytes().decode()
    assert "<!-- kept -->" in rendered
    assert '<cbc:Line id="1"><Item><![CDATA[A & B]]></Item><Note>new</Note></cbc:Line>' in rendered
    assert '<cbc:Line id="&quot;3&quot;"><Item>C &lt; D</Item></cbc:Line>' in rendered
    assert '<Order xmlns="urn:o" xmlns:cbc="urn:c" id="PO1" status="open">' in rendered


def test_a_document_is_written_in_its_own_encoding() -> None:
    document = XmlDocument('<?xml version="1.0" encoding="ISO-8859-1"?><a>ñ</a>'.encode("latin-1"))
    assert document["a"] == "ñ"
    document["a"] = "é"
    assert document.to_bytes() == '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1")


@pytest.mark.parametrize("path", ["Invoice/Line", "Order/Line[4]", "Order/Nothing/Item", "Invoice/@id"])
def test_what_has_no_place_is_not_invented(document: XmlDocument, path: str) -> None:
    with pytest.raises(FormatError) as caught:
        document[path] = "x"
    assert caught.value.reason == "bad-path"
    assert document.to_bytes() == ORDER


def test_the_root_stays(document: XmlDocument) -> None:
    with pytest.raises(FormatError) as caught:
        document.delete("Order")
    assert caught.value.reason == "read-only"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad-xml"),
        (b"hello", "bad-xml"),
        (b"<a><b></a>", "bad-xml"),
        (b"<a>&b;</a>", "bad-xml"),
        (b"<a/><b/>", "bad-xml"),
        (b"<a>\xff</a>", "bad-xml"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "bad-xml"),
        (BOMB, "dtd"),
        (FILE, "dtd"),
        (b"<a>" * 1000 + b"</a>" * 1000, "too-deep"),
    ],
)
def test_what_is_not_safe_xml_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        XmlDocument(body)
    assert caught.value.reason == reason
    with pytest.raises(FormatError):
        check_xml(body)


def test_says_where_it_is_broken() -> None:
    with pytest.raises(FormatError, match="mismatched tag, line 2, column 7") as caught:
        XmlDocument(b"<a>\n <b></a>")
    assert caught.value.offset > 0


@pytest.mark.parametrize("path", ["", "/", "a/", "a//b", "a[0]", "a[x]", "@id", "a/@", "a/@x/b", "a b", "1a"])
def test_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_xml_path(path)
    assert caught.value.reason == "bad-path"


def test_keys_are_where_the_channel_says() -> None:
    options = XmlOptions(type_path="Order/@kind", control_id_path="Order/@id", receiver_path="Order/Line[9]")
    assert XmlFormat(options).peek(ORDER).keys == Keys("new", "PO1", "", "")


TEXT = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff\x7f"))


@given(TEXT, TEXT)
def test_any_text_is_read_as_it_was_written(text: str, attribute: str) -> None:
    document = XmlDocument(b"<a><b/></a>")
    document["a/b"] = text
    document["a/@x"] = attribute
    again = XmlDocument(document.to_bytes())
    assert (again["a/b"], again["a/@x"]) == (text, attribute)

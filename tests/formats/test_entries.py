"""Every value of a document has a path, and the path leads to the value."""

from __future__ import annotations

import pytest

from hcsyncd.formats.delimited import DelimitedDocument, Dialect
from hcsyncd.formats.fixed import Column, FixedDocument
from hcsyncd.formats.format import Document
from hcsyncd.formats.hl7.document import Hl7Document
from hcsyncd.formats.json_document import JsonDocument
from hcsyncd.formats.text import TextDocument
from hcsyncd.formats.xml_document import XmlDocument

HL7 = (
    b"MSH|^~\\&|EHR||HUB||2026||ADT^A01|7|P|2.5\r"
    b"PID|1||12^^^H&1.2&ISO^MR~34^^^N||Doe^J\\T\\A||M\rno segment\rNTE|1||a\rNTE|2||b\r"
)
JSON = b'{"a": {"b.c": [1.10, true, null, {"d": "x"}], "e": "", "f": {}}, "g\\"h": 2}'
XML = b'<o:order xmlns:o="urn:x" id="7"><line n="1">a</line> <line n="2"><o:b>c</o:b></line><e/></o:order>'

DOCUMENTS: dict[str, tuple[Document, dict[str, str]]] = {
    "hl7": (
        Hl7Document(HL7),
        {
            "MSH-2": "^~\\&",
            "MSH-3": "EHR",
            "MSH-9.2": "A01",
            "PID-3.1": "12",
            "PID-3.4.2": "1.2",
            "PID-3[2].4": "N",
            "PID-5.2": "J&A",
            "PID-7": "M",
            "NTE-3": "a",
            "NTE(2)-3": "b",
        },
    ),
    "json": (
        JsonDocument(JSON),
        {'a["b.c"][0]': "1.10", 'a["b.c"][1]': "true", 'a["b.c"][3].d': "x", "a.f": "{}", '["g\\"h"]': "2"},
    ),
    "xml": (
        XmlDocument(XML),
        {"o:order/@id": "7", "o:order/line": "a", "o:order/line[2]/@n": "2", "o:order/line[2]/o:b": "c"},
    ),
    "delimited": (
        DelimitedDocument(b"item;count\r\nA;1\r\nB;;9\r\n", Dialect(delimiter=";")),
        {"row[1].item": "A", "row[1].count": "1", "row[2].item": "B", "row[2].3": "9"},
    ),
    "fixed": (
        FixedDocument(b"AA  7\nBB  9\n", (Column(name="item", start=1, length=4), Column(name="n", start=5, length=1))),
        {"row[1].item": "AA", "row[1].n": "7", "row[2].item": "BB", "row[2].n": "9"},
    ),
    "text": (TextDocument(b"one\n\nthree"), {"line[1]": "one", "line[3]": "three"}),
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_value_is_found_by_its_path(name: str) -> None:
    document, wanted = DOCUMENTS[name]
    found = dict(document.entries())
    assert {path: found.get(path) for path in wanted} == wanted
    assert [(path, value) for path, value in found.items() if document.get(path) != value] == []

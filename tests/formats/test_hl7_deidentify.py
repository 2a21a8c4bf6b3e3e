"""Messages without their patients: no mark of a person stays, and what transforms look at does."""

from __future__ import annotations

import re

import pytest

from hcsyncd.formats.hl7.deidentify import TABLE, Deidentifier, Kind
from hcsyncd.formats.hl7.document import Hl7Document

KEY = bytes(range(32))
SEGMENTS = (
    "MSH|^~\\&|EHR|GENERAL|HUB|GENERAL|20260302081502+0100||ADT^A01^ADT_A01|MARK001|P|2.5.1",
    "EVN|A01|20260302081500|||MARK77^Markovic^Marta^^^Dr^MD^^GENERAL",
    (
        "PID|1|MARK002|MARK003^^^GENERAL^MR~MARK004^^^NHS^NH||Markson&van&Mark^Markus^M^Jr^Prof|Markmother|19"
        "471231|M||2106-3|Markstreet 12&Markstreet&12^^Marktown^BE^77777^DE||0049(77)7777-77^PRN^PH^mark@mark"
        ".example|||S||MARK005|777-77-7777"
    ),
    "NK1|1|Markwife^Maria|SPO^Spouse Markwife|Markstreet 12^^Marktown|0049777777",
    (
        "PV1|1|I|MED1^04^A^GENERAL||||7712^Markdoc^Anna^^^Dr|||MED|||||||||MARK006^^^GENERAL^VN||||||||||||||"
        "|||||||||||20260302081000"
    ),
    "PV2|||R10^Mark has a pain||||||||||Text of Mark",
    "AL1|1|DA|PEN^Penicillin for Mark|SV|Mark gets a rash",
    "OBX|1|NM|8867-4^Heart rate^LN||77|/min|60-100|N|||F|||20260302081000",
    "OBX|2|TX|NOTE^Note||Mark said that he is well||||||F",
    "OBX|3|CWE|ABO^Blood group||A^A positive for Mark^L||||||F",
    "GT1|1|MARK008|Markwife^Maria||Markstreet 12^^Marktown|0049777777",
    "IN1|1|PLAN^Plan|MARK009|Markinsurer||||||||||||Markson^Markus|Markbrother",
    "NTE|1||Mark wants tea",
    "ZPI|1|MARK010|Markfree^77|20260302",
    "what a gateway added: Mark",
)
MESSAGE = "".join(f"{segment}\r" for segment in SEGMENTS)


def deidentified(message: str = MESSAGE) -> Hl7Document:
    return Hl7Document(Deidentifier(KEY).deidentified(Hl7Document(message.encode())))


def test_no_mark_is_left() -> None:
    body = deidentified().to_bytes().decode("ascii")
    left = re.findall(r"(?i)mark\w*|77{2,}|1947-?1231|19471231", body)
    assert left == []
    assert "gateway" not in body
    assert "20260302" not in body


def test_what_transforms_look_at_stays() -> None:
    document = deidentified()
    kept = {
        "MSH-3": "EHR",
        "MSH-9": "ADT^A01^ADT_A01",
        "PID-3.4": "GENERAL",
        "PID-3.5": "MR",
        "PID-3[2].5": "NH",
        "PID-5.5": "Prof",
        "PID-8": "M",
        "PID-11.4": "BE",
        "PID-11.6": "DE",
        "PV1-2": "I",
        "PV1-3": "MED1^04^A^GENERAL",
        "PV1-10": "MED",
        "PV2-3.1": "R10",
        "AL1-3.1": "PEN",
        "OBX-5": "77",
        "OBX(3)-5.1": "A",
        "OBX(3)-5.3": "L",
    }
    assert {path: document.get(path) for path in kept} == kept


def test_form_and_length_stay() -> None:
    before, after = dict(Hl7Document(MESSAGE.encode()).entries()), dict(deidentified().entries())
    assert [path for path in before if path not in after] == []
    forms = [re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", text))) for text in before.values()]
    assert forms == [re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", after[path]))) for path in before]


def test_one_value_has_one_fake_under_one_key() -> None:
    document, again = deidentified(), deidentified()
    assert document.to_bytes() == again.to_bytes()
    assert document["NK1-2.1"] == document["GT1-3.1"]
    assert document["PID-3.1"] != document["PID-2"]
    other = Deidentifier(bytes(32)).deidentified(Hl7Document(MESSAGE.encode()))
    assert Hl7Document(other)["PID-3.1"] != document["PID-3.1"]


def test_dates_are_moved_together_and_the_year_of_birth_stays() -> None:
    document = deidentified()
    assert document["MSH-7"][8:] == "081502+0100"
    assert document["MSH-7"][:8] == document["EVN-2"][:8] == document["PV1-44"][:8] != "20260302"
    assert re.fullmatch(r"1947(0[1-9]|1[0-2])\d\d", document["PID-7"])
    old = MESSAGE.replace("19471231", "19201231")
    assert deidentified(old)["PID-7"].startswith("1937")  # 89 years before the message


def test_nulls_and_empty_fields_stay_and_other_scripts_become_ascii() -> None:
    message = MESSAGE.replace("||Markson&van&Mark^Markus^M", '||""^Jürgen Ærø^M').replace("MED1^04", "MÉD1^04")
    document = deidentified(message)
    assert document["PID-5.1"] == '""'
    assert len(document["PID-5.2"]) == len("Jürgen Ærø")
    assert document["PV1-3.1"] == "MED1"
    assert document.get("PID-6") is not None
    assert document.get("PID-12") is None


@pytest.mark.parametrize(
    ("segment", "field", "kind"), [("PID", 5, Kind.NAME), ("PV1", 3, Kind.KEEP), ("IN1", 36, Kind.ID)]
)
def test_the_table_says_what_fields_hold(segment: str, field: int, kind: Kind) -> None:
    assert TABLE[segment][field] is kind

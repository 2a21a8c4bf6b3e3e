"""Messages without their patients: every value that may tell who somebody is becomes a fake of the same form.

What is kept is written down, field by field, and nothing else is: a field that the table does not name, and every
segment of a site's own (Z..), becomes fake whole. Fakes are stable: one value has one fake under one key, so that a
number that stands twice in a message still stands twice.

Sources: the fields' data types are those of HL7 v2.5.1 chapters 2 to 7, 10 and 15; what identifies a person is the
list of the HIPAA safe harbour (45 CFR 164.514(b)(2)): names, places below a state, dates but for the year, numbers,
contacts. Who takes care of a patient becomes fake, too. Codes stay without their texts, as those are often written by
hand.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType

from hcsyncd.formats.hl7.document import Hl7Document
from hcsyncd.formats.hl7.path import parse_path

NULL = '""'  # HL7's "delete what you have" (v2.5.1 §2.5.3)
OLDEST_YEARS = 89  # 45 CFR 164.514(b)(2)(i)(C): older ages are told by no year of birth
LONGEST_SHIFT_DAYS = 364
CONSONANTS, VOWELS = "bdfgklmnprstvw", "aeiou"
_MOMENT = re.compile(r"((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{2,6}(?:\.\d{1,4})?)?([+-]\d{4})?")
_BIRTH = re.compile(r"((?:18|19|20)\d\d)(0[1-9]|1[0-2])?(0[1-9]|[12]\d|3[01])?(\d{2,6}(?:\.\d{1,4})?)?([+-]\d{4})?")
_CODE = re.compile(r"[^\sa-z]*|\S{,3}|\S*\d\S*")  # has no words in it
_SEGMENT = re.compile(rb"[A-Z][A-Z0-9]{2}")


class Kind(StrEnum):
    """What a field holds, and so how much of it stays."""

    KEEP = "keep"  # a code, a place in the house, an amount, a sequence number
    CODE = "code"  # CE, CWE (§2A.13, §2A.3): the codes and their systems stay, their texts do not
    ID = "id"  # CX, EI (§2A.14, §2A.28): the number is fake, who gave it stays
    NAME = "name"  # XPN, PN: the name is fake, degree and kind of name stay
    PERSON = "person"  # XCN, CN: as ID and NAME
    BIRTH = "birth"  # the year stays
    DATE = "date"  # moved, by the same days in all of a message
    ADDRESS = "address"  # XAD: state, country and kind of address stay
    PHONE = "phone"  # XTN: use and equipment stay
    TIMING = "timing"  # TQ: dates are moved, texts are fake
    VALUE = "value"  # OBX-5: by the data type that OBX-2 names
    FAKE = "fake"  # all of it


_TABLE = """
MSH keep 1-6 9 11-21; date 7; id 10
EVN keep 1 4 7; date 2-3 6; person 5
PID keep 1 8 24-25 30-32 34; id 2-4 18-21; name 5-6 9; birth 7; code 10 15-17 22 26-28 35-36 38-39; address 11;
    phone 13-14; date 29 33
PD1 keep 1-2 5-9 12 16 19-21; person 4; id 10; code 11 15; date 13 17-18
NK1 keep 1 15 17-18 21 23-24 34 36; name 2 26 30; code 3 7 11 14 19-20 22 25 27-29 35; address 4 32; phone 5-6 31;
    date 8-9; id 12 33 37; birth 16
PV1 keep 2-4 6 10-16 18 20-24 26-29 31-34 36 39-43 46-49 51 1; id 5 19 50; person 7-9 17 52; date 25 30 35 44-45;
    code 37-38
PV2 keep 1 7 10-11 15-16 18-22 24-25 27 32 34-37 49; code 2-4 30-31 38-45; date 8-9 14 17 26 28-29 33 46-48; person 13
DG1 keep 1-2 6 9 11-15 17-18 21; code 3 7-8 10; date 5 19; person 16; id 20
PR1 keep 1-2 6-7 9-10 14 17-18 20; code 3 13 15-16; date 5; person 8 11-12; id 19
AL1 keep 1; code 2-4; date 6
IAM keep 1 6 17; code 2-4 9 15-16; id 7; date 11 13 20; name 14; person 18
ACC date 1; code 2 4
GT1 keep 1 9-10 15 20 22 27-28; id 2 12 19 29; name 3-4 16 45; address 5 17; phone 6-7 18 46; birth 8;
    code 11 23 26 30 47 50; date 13-14 24-25
IN1 keep 1 15 20-23 25 27 31-35 37-43 45 47-48; code 2 17; id 3 8 10 28 36 46 49; address 5 19 44; name 6 16; phone 7;
    date 12-13 24 26 29; birth 18; person 30
MRG id 1-6; name 7
ORC keep 1 5-6 13; id 2-4 8; timing 7; date 9 15 27; person 10-12 19; phone 14 23; code 16-18 20 25-26 28-30;
    address 22 24
OBR keep 1 5 9 11 23-25 30 37 41-42 49; id 2-3; code 4 12 31 38 40 43-45 47-48 50; date 6-8 14 22 36; person 10 16 28;
    phone 17; timing 27
OBX keep 1-2 4 7-11; code 3 6 15 17; value 5; date 12 14 19; person 16 25; id 18; address 24
NTE keep 1-2; code 4
SPM keep 1 12 20-22; id 2-3; code 4-11 13 15-16 23-27 29; date 17-18
FT1 keep 1 6 10-12 15-18 22; id 2-3 23; date 4-5; code 7 13-14 19 25-26; person 20-21 24
SCH keep 9 15 19 22; id 1-4 23-24 26-27; code 5-8 10 25; timing 11; person 12 16 20; phone 13 17 21; address 14 18
TQ1 keep 1-6 10 12-14; date 7-8; code 9
RGS keep 1-2; code 3
AIS keep 1-2 5 7 9; code 3 6 8 10-12; date 4
AIG keep 1-2 6-7 9 11-12; code 3-5 10 13-14; date 8
AIL keep 1-3 7 9 11; code 4-5 8 10 12; date 6
AIP keep 1-2 7 9 11; person 3; code 4-5 8 10 12; date 6
RXO keep 2-3 8-9 11-12 18 20; code 1 4-5 10 19; person 14-15
RXE keep 3-4 10 12-13 16-17 23 25; timing 1; code 2 5-6 11 24 26-27; id 15; person 14; date 18
RXR code 1-4
RXA keep 1-2 6 11-12 15 20-21; date 3-4 16 22; code 5 7-8 13 17-19; person 10
RQD keep 1 5 7-9; code 2-4 6; date 10
RQ1 keep 1 7; code 2-6
TXA keep 1-3 17-21; date 4 6-8; person 5 9-11; id 12-15; person 22
ROL keep 2; id 1; code 3 7-10; person 4; date 5-6; address 11; phone 12
MSA keep 1; id 2
"""

_KEPT_PARTS: Mapping[Kind, frozenset[int]] = MappingProxyType(
    {
        Kind.CODE: frozenset({1, 3, 4, 6, 7, 8, 10, 12}),
        Kind.ID: frozenset({3, 4, 5, 6, 9, 10}),
        Kind.NAME: frozenset({5, 6, 7, 8, 9, 11}),
        Kind.PERSON: frozenset({6, 7, 8, 9, 10, 12, 13, 14, 15}),
        Kind.ADDRESS: frozenset({4, 6, 7}),
        Kind.PHONE: frozenset({2, 3, 5}),
        Kind.TIMING: frozenset({1, 2, 3, 6, 9, 10}),
    }
)
"""Components that stay, of the kinds that have some."""

# OBX-5 by OBX-2 (table 0125): a measurement says nothing of who was measured.
_VALUES = MappingProxyType(
    {"NM": Kind.KEEP, "SN": Kind.KEEP, "CE": Kind.CODE, "CWE": Kind.CODE, "CNE": Kind.CODE, "ID": Kind.KEEP}
    | dict.fromkeys(("DT", "TS", "DTM"), Kind.DATE)
    | {"CX": Kind.ID, "XPN": Kind.NAME, "XCN": Kind.PERSON, "XAD": Kind.ADDRESS, "XTN": Kind.PHONE}
)


def _read_table(text: str) -> dict[str, dict[int, Kind]]:
    table: dict[str, dict[int, Kind]] = {}
    for line in re.sub(r"\n\s+", " ", text).strip().splitlines():
        name, _, rules = line.partition(" ")
        fields = table.setdefault(name, {})
        for rule in filter(None, map(str.strip, rules.split(";"))):
            kind, *numbers = rule.split()
            for number in numbers:
                first, _, last = number.partition("-")
                fields.update(dict.fromkeys(range(int(first), int(last or first) + 1), Kind(kind)))
    return table


TABLE: Mapping[str, Mapping[int, Kind]] = MappingProxyType(_read_table(_TABLE))
"""What each field holds, by segment and number; what is not here becomes fake whole."""


class Deidentifier:
    """Makes fakes under one key; who does not have it cannot find a value by trying."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def deidentified(self, document: Hl7Document) -> bytes:
        """The message's segments with everything that may identify somebody replaced; lines that are no segments are
        left out. The document is changed. Pure ASCII, with a carriage return after each segment. Raises FormatError
        when a fake cannot be written (``no-escape-character``)."""
        sent_at = document.get("MSH-7") or ""
        faker = Faker(self._key, document.get("PID-3.1") or document.get("MSH-10") or "", sent_at[:4])
        for text, value in list(document.entries()):
            path = parse_path(text)
            kind = TABLE.get(path.segment, {}).get(path.field, Kind.FAKE)
            if kind is Kind.VALUE:
                kind = _VALUES.get(document.get(f"OBX({path.occurrence or 1})-2") or "", Kind.FAKE)
            fake = value if value == NULL else faker.fake(kind, path.component or 1, value)
            if fake != value:
                document.set(text, fake)
        return _segments(document.to_bytes())


class Faker:
    """The fakes of one message: its dates are all moved by the same days."""

    def __init__(self, key: bytes, patient: str, year: str) -> None:
        """``year`` is the one that the message was sent in, as far as it says so."""
        self._key = key
        self._shift = timedelta(days=1 + self._digest(f"days {patient}")[0] * LONGEST_SHIFT_DAYS // 256)
        self._year = int(year) if year.isdecimal() else 0

    def fake(self, kind: Kind, component: int, value: str) -> str:
        """What stands in for one value: a component of a field."""
        if kind is Kind.KEEP:
            return _ascii(value)
        if kind is Kind.DATE:
            return self._moved(value)
        if kind is Kind.BIRTH:
            return self._born(value)
        if kind is Kind.TIMING and component in (4, 5):
            return self._moved(value)
        is_kept = component in _KEPT_PARTS.get(kind, frozenset())
        if kind is Kind.CODE and not _CODE.fullmatch(value):  # a text where a code should be
            is_kept = False
        return _ascii(value) if is_kept else self._scrambled(value)

    def _digest(self, value: str) -> bytes:
        return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=self._key, digest_size=64).digest()

    def _scrambled(self, value: str) -> str:
        """Another letter for a letter and another digit for a digit, in the same case and as many."""
        found = []
        stream = b""
        for place, sign in enumerate(value):
            if place % 64 == 0:
                stream = self._digest(f"{place} {value}")
            number = stream[place % 64]
            if sign.isdecimal():
                found.append(str((int(sign) + 1 + number % 9) % 10))
            elif sign.isalpha():
                letters = (CONSONANTS, VOWELS)[place % 2].replace(_ascii(sign).lower()[:1], "")
                letter = letters[number % len(letters)]
                found.append(letter.upper() if sign.isupper() else letter)
            else:
                found.append(sign if sign.isascii() else "-")
        return "".join(found)

    def _moved(self, value: str) -> str:
        moment = _MOMENT.fullmatch(value)
        if moment is None:
            return value if re.fullmatch(r"(19|20)\d\d", value) else self._scrambled(value)
        year, month, day, clock, zone = moment.groups(default="")
        try:
            moved = date(int(year), int(month), int(day)) - self._shift
        except ValueError:  # 30 February
            return self._scrambled(value)
        return f"{moved:%Y%m%d}{clock}{zone}"

    def _born(self, value: str) -> str:
        birth = _BIRTH.fullmatch(value)
        if birth is None:
            return self._scrambled(value)
        year, month, day, clock, _ = birth.groups(default="")
        oldest = self._year - OLDEST_YEARS
        stream = self._digest(f"born {value}")
        fake = str(max(int(year), oldest)) if self._year else year
        fake += f"{stream[0] % 12 + 1:02}" if month else ""
        fake += f"{stream[1] % 28 + 1:02}" if day else ""
        return fake + "0" * len(clock.partition(".")[0])


def _ascii(value: str) -> str:
    """A value that stays, in a form that every character set has."""
    if value.isascii():
        return value
    plain = unicodedata.normalize("NFKD", value)
    return "".join(sign for sign in plain if sign.isascii()) or "x"


def _segments(body: bytes) -> bytes:
    """The lines that are segments."""
    body = body[body.index(b"MSH") :]
    separator = body[3:4]
    lines = re.split(rb"\r\n|\r|\n", body)
    return b"".join(line + b"\r" for line in lines if _SEGMENT.fullmatch(line[:3]) and line[3:4] in (separator, b""))

"""Business keys are read where a channel declares them, and nowhere else."""

from __future__ import annotations

from typing import Any

from hcsyncd.flow.keys import KeyReader
from hcsyncd.formats.hl7.format import Hl7Format, Hl7Options
from hcsyncd.formats.json_document import JsonFormat, JsonOptions

ADT = b'MSH|^~\\&|EHR|H|RX|L|2026||ADT^A01|1|P|2.5\rPID|1||4711^^^H^MR~0815^^^X||DOE\rPV1|1|I|""||||||||||||||||V1\r'


def read(body: bytes, **paths: str) -> Any:
    return KeyReader(Hl7Format(Hl7Options()), paths).read(body)


def test_every_repetition_is_read_and_what_is_empty_or_deleted_is_not() -> None:
    assert read(ADT, mrn="PID-3.1", ward="PV1-3", visit="PV1-19.1", order="ORC-2.1") == (
        ("mrn", "4711"),
        ("mrn", "0815"),
        ("visit", "V1"),
    )


def test_a_value_stands_once_without_blanks_and_not_when_it_is_too_long() -> None:
    body = ADT + b"ORC|NW|  77 \rORC|NW|77\rORC|NW|" + b"x" * 300 + b"\r"
    assert read(body, order="ORC-2") == (("order", "77"),)


def test_a_body_has_a_bounded_number_of_keys() -> None:
    body = ADT + b"".join(b"ORC|NW|%d\r" % number for number in range(1000))
    assert len(read(body, order="ORC-2")) == 200


def test_a_body_that_cannot_be_read_has_none() -> None:
    assert read(b"PID|1", mrn="PID-3.1") == ()
    assert KeyReader(JsonFormat(JsonOptions()), {"po": "order.number"}).read(b"{") == ()


def test_other_formats_are_read_by_their_own_paths() -> None:
    reader = KeyReader(JsonFormat(JsonOptions()), {"po": "order.number", "item": "lines[*].item"})
    body = b'{"order": {"number": 1.10}, "lines": [{"item": "a"}, {"item": "b"}]}'
    assert reader.read(body) == (("po", "1.10"), ("item", "a"), ("item", "b"))

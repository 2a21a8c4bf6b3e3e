from __future__ import annotations

import pytest

from hcsyncd.connectors.folder_name import FIELDS, NAME_BYTES, check_pattern, file_name, key_digest, numbered
from hcsyncd.message import NAME_HEADER, Envelope

AT = 1_767_268_805_000_000  # 2026-01-01T12:00:05Z
ENVELOPE = Envelope(
    delivery_id=12,
    message_id=3,
    body=b"",
    content_type="application/json; charset=utf-8",
    idempotency_key="k",
    type="ADT^A01",
    control_id="../../etc/passwd",
    lane="",
    created_at=AT,
    route="events",
    headers={NAME_HEADER: ".hidden name\n"},
)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{message_id}-{delivery_id}", "000000000003-000000000012"),
        ("{date}T{time}.{extension}", "20260101T120005.json"),
        ("{route}-{type}", "events-ADT_A01"),
        ("{control_id}", "_.._.._etc_passwd"),
        ("x{lane}y", "x_y"),
        ("{name}", "_.hidden_name_"),
        ("latest.json", "latest.json"),
        (".{key}", f"_.{key_digest(ENVELOPE)}"),
        ("{{{route}}}", "{events}"),
    ],
)
def test_fields_are_filled_in_safely(pattern: str, name: str) -> None:
    assert file_name(check_pattern(pattern), ENVELOPE) == name


def test_every_field_can_be_used() -> None:
    pattern = check_pattern("-".join(f"{{{field}}}" for field in FIELDS))
    assert "/" not in file_name(pattern, ENVELOPE)


def test_long_name_is_cut_and_stays_unlike_others() -> None:
    pattern = "{name}{lane}{control_id}{route}{type}.{extension}"
    made = set()
    for key in ("k1", "k2"):
        envelope = Envelope(
            1,
            1,
            b"",
            "text/csv",
            key,
            "t" * 99,
            "c" * 99,
            lane="l" * 99,
            route="r" * 99,
            headers={NAME_HEADER: "n" * 99},
        )
        name = file_name(pattern, envelope)
        assert len(name.encode()) <= NAME_BYTES
        assert name.endswith(".csv")
        made.add(name)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [("text/csv", "csv"), ("application/pdf", "pdf"), ("", "bin"), ("no/such", "bin"), ("Text/XML;x=y", "xml")],
)
def test_extension(content_type: str, extension: str) -> None:
    assert file_name("{extension}", Envelope(1, 1, b"", content_type, "k")) == extension


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("out/{name}", "folder"),
        ("{patient}", "knows no field {patient}"),
        ("{message_id:>4}", "no format"),
        ("{name!r}", "no format"),
        ("{name", "name pattern"),
        ("{}", "knows no field"),
        ("{name.body}", "knows no field"),
    ],
)
def test_bad_pattern_is_told(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check_pattern(pattern)


def test_numbers_stand_before_the_extension() -> None:
    assert [numbered("list.csv", number) for number in (1, 2)] == ["list.csv", "list.2.csv"]
    assert numbered("list", 3) == "list.3"

from __future__ import annotations

import pytest

from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.ack import bare_acknowledgement
from hcsyncd.formats.hl7.peek import AcknowledgementMode, Hl7Peek

AT = 1_767_225_600_123_456  # 2026-01-01T00:00:00.123456Z
ACCEPTED = Answer(Verdict.ACCEPT, AT, "ACK7")
ERROR = Answer(Verdict.ERROR, AT, "ACK7", "no | such & ward", "103")
REJECTED = Answer(Verdict.REJECT, AT, "ACK7", "disk full", "207")
VERDICTS = {"accept": ACCEPTED, "error": ERROR, "reject": REJECTED}


def message(*, kind: str = "ADT^A01^ADT_A01", version: str = "2.5.1", accept: str = "", application: str = "") -> bytes:
    return f"MSH|^~\\&|PAS^1|FAC|ENG|REG|2026||{kind}|MSG1|P|{version}|||{accept}|{application}\rPID|1\r".encode()


def test_swaps_the_sides_and_gives_back_the_control_id() -> None:
    assert Hl7Peek(message()).application_reply(ACCEPTED) == (
        b"MSH|^~\\&|ENG|REG|PAS^1|FAC|20260101000000+0000||ACK^A01^ACK|ACK7|P|2.5.1\rMSA|AA|MSG1\r"
    )


def test_gives_back_the_character_set_so_that_the_reply_is_read_as_it_was_meant() -> None:
    body = "MSH|^~\\&|Zoë|FAC|ENG|REG|2026||ADT^A01|№1|P|2.5||||||UNICODE UTF-8\r".encode()
    reply = Hl7Peek(body).application_reply(ACCEPTED)
    assert (
        reply
        == (
            "MSH|^~\\&|ENG|REG|Zoë|FAC|20260101000000+0000||ACK^A01^ACK|ACK7|P|2.5||||||UNICODE UTF-8\rMSA|AA|№1\r"
        ).encode()
    )


@pytest.mark.parametrize("control_id", [b"MSG1", b"A\\T\\B", b"M\xff\xfe1", b" 1 ", b"a^b~c"])
def test_the_control_id_comes_back_byte_for_byte(control_id: bytes) -> None:
    body = b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|" + control_id + b"|P|2.5\r"
    assert b"\rMSA|AA|" + control_id + b"\r" in Hl7Peek(body).application_reply(ACCEPTED)


def test_uses_the_delimiters_of_the_sender() -> None:
    body = b"MSH!*+$%!A!B!C!D!2026!!ADT*A01!M1!P!2.5\r"
    reply = Hl7Peek(body).application_reply(Answer(Verdict.ERROR, AT, "ACK7", "50% off!", "207"))
    assert reply == (
        b"MSH!*+$%!C!D!A!B!20260101000000+0000!!ACK*A01*ACK!ACK7!P!2.5\r"
        b"MSA!AE!M1!50$T$ off$F$\r"
        b"ERR!!!207*Application internal error*HL70357!E!!!!50$T$ off$F$\r"
    )


def test_what_cannot_be_escaped_is_blanked() -> None:
    reply = Hl7Peek(b"MSH|^~|A|B|C|D|2026||ADT^A01|M1|P|2.3\r").application_reply(ERROR)
    assert b"\rMSA|AE|M1|no   such & ward\r" in reply


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("2.1", "ADT^A01", b"|ACK|"),
        ("2.2", "ADT^A01", b"|ACK^A01|"),
        ("2.3", "ADT^A01", b"|ACK^A01|"),
        ("2.3.1", "ADT^A01^ADT_A01", b"|ACK^A01^ACK|"),
        ("2.5.1", "ORU^R01", b"|ACK^R01^ACK|"),
        ("2.8.2", "ORU^R01", b"|ACK^R01^ACK|"),
        ("", "ORU^R01", b"|ACK^R01^ACK|"),
        ("latest", "ORU^R01", b"|ACK^R01^ACK|"),
        ("2.5", "ACK", b"|ACK|"),
        ("2.5", "ADT", b"|ACK|"),
        ("2.5", "", b"|ACK|"),
    ],
)
def test_message_type_by_version(version: str, kind: str, expected: bytes) -> None:
    reply = Hl7Peek(message(kind=kind, version=version)).application_reply(ACCEPTED)
    assert expected in reply.partition(b"\r")[0]


def test_error_before_2_5_is_one_coded_location() -> None:
    reply = Hl7Peek(message(version="2.4")).application_reply(ERROR)
    assert reply.split(b"\r")[1:] == [
        b"MSA|AE|MSG1|no \\F\\ such \\T\\ ward",
        b"ERR|^^^103&Table value not found&HL70357",
        b"",
    ]


def test_error_since_2_5_has_code_severity_and_text() -> None:
    reply = Hl7Peek(message(version="2.5^USA")).application_reply(ERROR)
    assert reply.split(b"\r")[1:] == [
        b"MSA|AE|MSG1|no \\F\\ such \\T\\ ward",
        b"ERR|||103^Table value not found^HL70357|E||||no \\F\\ such \\T\\ ward",
        b"",
    ]


def test_text_is_no_longer_in_msa_since_2_7() -> None:
    reply = Hl7Peek(message(version="2.7")).application_reply(REJECTED)
    assert reply.split(b"\r")[1] == b"MSA|AR|MSG1"


def test_text_is_plain_and_short() -> None:
    answer = Answer(Verdict.ERROR, AT, "ACK7", "Zoë\n\x00" + "x" * 500, "207")
    msa = Hl7Peek(message(version="2.3")).application_reply(answer).split(b"\r")[1]
    assert msa == b"MSA|AE|MSG1|Zo? ?" + b"x" * 75


# HL7 v2.5.1 §2.9.2 and §2.9.3, table 0155: (MSH-15, MSH-16), verdict -> commit code, application code
MODES = [
    ("", "", "accept", "", "AA"),
    ("", "", "error", "", "AE"),
    ("", "", "reject", "", "AR"),
    ("AL", "AL", "accept", "CA", "AA"),
    ("AL", "AL", "error", "CE", "AE"),
    ("AL", "AL", "reject", "CR", "AR"),
    ("AL", "NE", "accept", "CA", ""),
    ("AL", "", "accept", "CA", ""),
    ("NE", "AL", "accept", "", "AA"),
    ("", "AL", "accept", "", "AA"),
    ("NE", "NE", "accept", "", ""),
    ("NE", "NE", "reject", "", ""),
    ("ER", "ER", "accept", "", ""),
    ("ER", "ER", "error", "CE", "AE"),
    ("ER", "NE", "reject", "CR", ""),
    ("SU", "SU", "accept", "CA", "AA"),
    ("SU", "SU", "reject", "", ""),
    ("XX", "NE", "accept", "CA", ""),
]


@pytest.mark.parametrize(("accept", "application", "verdict", "commit", "final"), MODES)
def test_who_is_answered_how(accept: str, application: str, verdict: str, commit: str, final: str) -> None:
    peek = Hl7Peek(message(accept=accept, application=application))
    assert code(peek.accept_reply(VERDICTS[verdict])) == commit
    assert code(peek.application_reply(VERDICTS[verdict])) == final


@pytest.mark.parametrize(("accept", "application"), [("", ""), ("AL", "AL"), ("NE", "NE")])
def test_a_channel_may_insist_on_original_mode(accept: str, application: str) -> None:
    peek = Hl7Peek(message(accept=accept, application=application), AcknowledgementMode.ORIGINAL)
    assert code(peek.accept_reply(ACCEPTED)) == ""
    assert code(peek.application_reply(ACCEPTED)) == "AA"


@pytest.mark.parametrize(
    ("accept", "application", "commit", "final"),
    [("", "", "CA", ""), ("", "AL", "", "AA"), ("NE", "", "", ""), ("AL", "AL", "CA", "AA")],
)
def test_a_channel_may_insist_on_enhanced_mode(accept: str, application: str, commit: str, final: str) -> None:
    peek = Hl7Peek(message(accept=accept, application=application), AcknowledgementMode.ENHANCED)
    assert code(peek.accept_reply(ACCEPTED)) == commit
    assert code(peek.application_reply(ACCEPTED)) == final


def test_a_body_without_a_header_is_answered_without_names() -> None:
    assert bare_acknowledgement("AR", Answer(Verdict.REJECT, AT, "ACK7", "no MSH", "100")) == (
        b"MSH|^~\\&|||||20260101000000+0000||ACK|ACK7|P|2.5\r"
        b"MSA|AR||no MSH\r"
        b"ERR|||100^Segment sequence error^HL70357|E||||no MSH\r"
    )


def code(reply: bytes) -> str:
    return reply.split(b"\rMSA|")[1][:2].decode() if reply else ""

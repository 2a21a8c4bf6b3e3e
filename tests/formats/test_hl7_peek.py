from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.peek import AcknowledgementMode, Hl7Peek
from hcsyncd.message import Keys

ADT = (
    b"MSH|^~\\&|PAS^1.2^ISO|STMARY|HCSYNC|REGION^x|20260101||ADT^A01^ADT_A01|MSG1|P^T|2.5.1^USA|||AL|NE|USA|8859/1~ASCII\r"
    b"EVN|A01\rPID|1\r"
)


def test_reads_who_what_and_how() -> None:
    peek = Hl7Peek(ADT)
    assert peek.keys == Keys("ADT^A01", "MSG1", "PAS|STMARY", "HCSYNC|REGION")
    assert (peek.version, peek.processing_id, peek.charset) == ("2.5.1", "P", "8859/1~ASCII")
    assert peek.tolerated == ()


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b"MSH|^~\\&|A|B|C|D|||ADT||P\r", Keys("ADT", "", "A|B", "C|D")),
        (b"MSH|^~\\&|A|B|C|D|||ADT^^ADT_A01|1\r", Keys("ADT", "1", "A|B", "C|D")),
        (b"MSH|^~\\&|A\r", Keys("", "", "A|", "")),
        (b"MSH|^~\\&\r", Keys()),
        (b"MSH|^~\\&#|A|B|C|D|||ADT^A08|7|P|2.7\r", Keys("ADT^A08", "7", "A|B", "C|D")),
        (b"MSH!*+$%!A*x!B!C!D!!!ADT*A08!7\r", Keys("ADT^A08", "7", "A|B", "C|D")),
        (b"MSH|^\\&|A|B|C|D|||ADT^A08|7\r", Keys("ADT^A08", "7", "A|B", "C|D")),
        (b"MSH|^~\\&|M\xfcller|B|C|D|||ADT^A08|7\r", Keys("ADT^A08", "7", "Müller|B", "C|D")),
        ("MSH|^~\\&|Zoë|B|C|D|||ADT^A08|№7\r".encode(), Keys("ADT^A08", "№7", "Zoë|B", "C|D")),
        (
            "MSH|^~\\&|И|B|C|D|||ADT^A08|7||||||||8859/5\r".encode("iso8859-5"),
            Keys("ADT^A08", "7", "И|B", "C|D"),
        ),
    ],
)
def test_stands_what_real_senders_write(body: bytes, keys: Keys) -> None:
    assert Hl7Peek(body).keys == keys


def test_a_channel_may_overrule_the_character_set() -> None:
    body = "MSH|^~\\&|И|B|||||ADT^A08|7\r".encode("iso8859-5")
    assert Hl7Peek(body, AcknowledgementMode.AUTO, "8859/5").keys.sender == "И|B"


@pytest.mark.parametrize(
    ("body", "tolerated"),
    [
        (b"MSH|^~\\&|A\rPID|1\r", ()),
        (b"MSH|^~\\&|A\rPID|1", ("no_final_cr",)),
        (b"MSH|^~\\&|A", ("no_final_cr",)),
        (b"MSH|^~\\&|A\nPID|1\n", ("lf_line_ends",)),
        (b"MSH|^~\\&|A\r\nPID|1\r\n", ("lf_line_ends",)),
        (b"MSH|^~\\&|A\nPID|1", ("lf_line_ends", "no_final_cr")),
        (b"MSH|^~\\&|A\rPID|1\nPV1|1\r", ("lf_line_ends",)),
        (b"MSH|^~\\&|A\rOBX|1|TX|||one\ntwo\r", ()),
        (b"\xef\xbb\xbfMSH|^~\\&|A\r", ("leading_blanks",)),
        (b"\r\n MSH|^~\\&|A\nPID|1", ("leading_blanks", "lf_line_ends", "no_final_cr")),
    ],
)
def test_names_the_faults_it_overlooks(body: bytes, tolerated: tuple[str, ...]) -> None:
    peek = Hl7Peek(body)
    assert peek.tolerated == tolerated
    assert peek.keys.sender in ("A|", "")


def test_the_header_ends_where_its_line_ends() -> None:
    assert Hl7Peek(b"MSH|^~\\&|A|B\nPIDX|x|y|z|ADT^A01|1\n").keys == Keys("", "", "A|B", "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"\r\n \xef\xbb\xbf", "empty"),
        (b"PID|1\r", "no-msh"),
        (b"msh|^~\\&|\r", "no-msh"),
        (b"hello MSH|^~\\&|\r", "no-msh"),
        ("MSH|^~\\&|A".encode("utf-16"), "no-msh"),
        ("MSH|^~\\&|A".encode("utf-16-le"), "no-msh"),
        (b"MSH", "bad-delimiters"),
        (b"MSH|", "bad-delimiters"),
        (b"MSH||A|B\r", "bad-delimiters"),
        (b"MSHA^~\\&A\r", "bad-delimiters"),
        (b"MSH|^^\\&|A\r", "bad-delimiters"),
        (b"MSH\r|^~\\&|\r", "bad-delimiters"),
    ],
)
def test_says_why_a_body_cannot_be_hl7(body: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        Hl7Peek(body)
    assert caught.value.reason == reason


def test_a_body_in_utf_16_gets_a_hint() -> None:
    with pytest.raises(FormatError, match="send UTF-8"):
        Hl7Peek("MSH|^~\\&|A".encode("utf-16"))


def test_a_batch_is_named_by_its_header_and_its_first_message() -> None:
    body = (
        b"FHS|^~\\&|FILEAPP|FILEFAC|RA|RF|2026||name||FILE1\r"
        b"BHS|^~\\&|BATCHAPP|||||||BATCH1\r"
        b"MSH|^~\\&|A|B|C|D|2026||ADT^A08^ADT_A01|M1|T|2.4|||AL|AL\rPID|1\r"
        b"BTS|1\rFTS|1\r"
    )
    peek = Hl7Peek(body)
    assert peek.keys == Keys("ADT^A08", "FILE1", "FILEAPP|FILEFAC", "RA|RF")
    answer = Answer(Verdict.ACCEPT, 0, "ACK1")
    assert peek.accept_reply(answer) == b""
    assert peek.application_reply(answer) == (
        b"MSH|^~\\&|RA|RF|FILEAPP|FILEFAC|19700101000000+0000||ACK^A08^ACK|ACK1|T|2.4\rMSA|AA|FILE1\r"
    )


def test_a_batch_header_that_says_little_leaves_the_word_to_the_message() -> None:
    body = b"BHS|^~\\&\nMSH|^~\\&|A|B|C|D|2026||ADT^A08|M1\nBTS|1\n"
    assert Hl7Peek(body).keys == Keys("ADT^A08", "M1", "A|B", "C|D")


def test_an_empty_batch_can_be_answered() -> None:
    peek = Hl7Peek(b"BHS|^~\\&|A|B|C|D|2026||name||B1\rBTS|0\r")
    assert peek.keys == Keys("", "B1", "A|B", "C|D")
    assert b"\rMSA|AA|B1\r" in peek.application_reply(Answer(Verdict.ACCEPT, 0, "X"))


@given(st.binary(max_size=80), st.sampled_from(list(Verdict)))
def test_any_bytes_are_peeked_or_refused_and_always_answered(tail: bytes, verdict: Verdict) -> None:
    try:
        peek = Hl7Peek(b"MSH|^~\\&|" + tail)
    except FormatError:
        return
    peek.keys.sender.encode()
    reply = peek.application_reply(Answer(verdict, 0, "X", "text", "207"))
    assert len(reply) < 4096
    if reply:
        assert Hl7Peek(reply).keys.type.startswith("ACK")


@pytest.mark.parametrize("tail", [b"|" * 4000, b"^" * 4000, b"x" * 100_000, b"|\\" * 3000])
def test_long_headers_are_answered_in_short(tail: bytes) -> None:
    body = b"MSH|^~\\&|" + b"|".join([b"a" * 9000] * 7) + b"|" + tail + b"\r"
    answer = Answer(Verdict.ERROR, 0, "X" * 20, "|" * 1000, "207")
    assert 0 < len(Hl7Peek(body, AcknowledgementMode.ORIGINAL).application_reply(answer)) < 4096


def test_headers_that_were_seen_before_are_not_mixed_up() -> None:
    """What a sender repeats is remembered; nothing of one message may show up in another."""

    def told(body: bytes, mode: AcknowledgementMode = AcknowledgementMode.AUTO) -> tuple[Keys, bytes, bytes]:
        peek = Hl7Peek(body, mode)
        answer = Answer(Verdict.ACCEPT, 0, "X")
        return peek.keys, peek.accept_reply(answer), peek.application_reply(answer)

    def body(control_id: bytes, sender: bytes = b"A", bar: bytes = b"|", rest: bytes = b"") -> bytes:
        return b"MSH|^~\\&|%b|B|C|D|2026|s|ADT^A01|%b|P|2.5%b\r".replace(b"|", bar) % (sender, control_id, rest)

    first = told(body(b"M1"))
    assert first[0] == Keys("ADT^A01", "M1", "A|B", "C|D")
    assert first[2].endswith(b"\rMSA|AA|M1\r")
    assert told(body(b"M2"))[2] == first[2].replace(b"M1", b"M2")
    assert told(body(b"M3", rest=b"|7"))[2] == first[2].replace(b"M1", b"M3")  # MSH-13 alone differs
    assert told(body(b"M1", bar=b"#"))[2].endswith(b"#C#D#A#B#19700101000000+0000##ACK^A01^ACK#X#P#2.5\rMSA#AA#M1\r")
    assert told(body(b"\xc2\xb57"))[0].control_id == "µ7"
    assert told(body(b"M1", rest=b"|||AL|NE"))[1:] == (first[2].replace(b"|AA|", b"|CA|"), b"")
    assert told(body(b"M1"), AcknowledgementMode.ENHANCED)[1] == first[2].replace(b"|AA|", b"|CA|")
    long = told(body(b"M1", sender=b"L" * 1000))
    assert long[0].sender == "L" * 1000 + "|B"
    assert long[2] == first[2].replace(b"|A|B|", b"|" + b"L" * 1000 + b"|B|")
    assert told(body(b"M1")) == first

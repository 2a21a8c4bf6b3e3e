from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.batch import split_messages
from hcsyncd.formats.mllp import render

CAP = 10_000
ONE = b"MSH|^~\\&|A\rPID|1\r"
TWO = b"MSH|^~\\&|B\rOBX|1\r"
HEAD = b"FHS|^~\\&|F\rBHS|^~\\&|F\r"
TAIL = b"BTS|2\rFTS|1\r"


def split(data: bytes, chunk: int = 0) -> list[bytes]:
    size = chunk or len(data) or 1
    return list(split_messages((data[start : start + size] for start in range(0, len(data), size)), CAP))


FILES = {
    "one message": (ONE, [ONE]),
    "one message without a final CR": (ONE[:-1], [ONE[:-1]]),
    "several messages": (ONE + TWO, [ONE, TWO]),
    "several messages with LF": ((ONE + TWO).replace(b"\r", b"\n"), [m.replace(b"\r", b"\n") for m in (ONE, TWO)]),
    "several messages with CR LF": (
        (ONE + TWO).replace(b"\r", b"\r\n"),
        [m.replace(b"\r", b"\r\n") for m in (ONE, TWO)],
    ),
    "blank lines between messages": (ONE + b"\r\n\r\n" + TWO, [ONE + b"\r\n\r\n", TWO]),
    "file and batch": (HEAD + ONE + TWO + TAIL, [ONE, TWO]),
    "file and batch with LF": (
        (HEAD + ONE + TWO + TAIL).replace(b"\r", b"\n"),
        [m.replace(b"\r", b"\n") for m in (ONE, TWO)],
    ),
    "two batches": (b"FHS|^~\\&|\r" + 2 * (b"BHS|^~\\&\r" + ONE + b"BTS|1\r") + b"FTS|2\r", [ONE, ONE]),
    "trailers without fields": (b"BHS|^~\\&\r" + ONE + b"BTS\rFTS", [ONE]),
    "empty batch": (HEAD + TAIL, []),
    "MLLP frames": (render(ONE) + render(TWO), [ONE, TWO]),
    "an MLLP frame that holds a batch": (b"\r\n" + render(HEAD + ONE + TWO + TAIL), [ONE, TWO]),
    "the last frame without its end": (render(ONE) + b"\x0b" + TWO, [ONE, TWO]),
    "byte order mark": (b"\xef\xbb\xbf" + ONE, [b"\xef\xbb\xbf" + ONE]),
    "no HL7 at all": (b"hello\rworld\r", [b"hello\rworld\r"]),
    "text before the first message": (b"hello\r" + ONE, [b"hello\r", ONE]),
    "text behind the trailer": (HEAD + ONE + b"BTS|1\rhello", [ONE, b"hello"]),
    "a text that mentions a header": (
        b"MSH|^~\\&|A\rNTE|1||MSH|^~ and FTS|1\r",
        [b"MSH|^~\\&|A\rNTE|1||MSH|^~ and FTS|1\r"],
    ),
    "blank": (b" \r\n\r\n", []),
    "empty": (b"", []),
}


@pytest.mark.parametrize("chunk", [0, 1, 5])
@pytest.mark.parametrize("name", FILES)
def test_takes_the_messages_out_of_a_file(name: str, chunk: int) -> None:
    data, expected = FILES[name]
    assert split(data, chunk) == expected


@pytest.mark.parametrize("data", [ONE + b"x" * CAP, render(b"x" * (CAP + 1)), b"y" * (CAP + 1)])
def test_a_message_over_the_cap_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="larger than 10000 bytes") as caught:
        split(data, 1000)
    assert caught.value.reason == "too-large"


def test_text_between_frames_is_not_passed_over() -> None:
    with pytest.raises(FormatError) as caught:
        split(render(ONE) + b"hello" + render(TWO))
    assert caught.value.reason == "noise"


def test_gives_a_message_as_soon_as_the_next_begins_and_keeps_none_of_it() -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield ONE * 100

    found = split_messages(chunks(), CAP)
    for _ in range(150):
        assert next(found) == ONE
    assert len(read) == 2


@given(st.lists(st.sampled_from([ONE, TWO, b"MSH|^~\\&|" + b"long" * 50 + b"\r"]), max_size=8), st.integers(1, 60))
def test_comes_out_as_it_went_in_however_it_is_read(messages: list[bytes], chunk: int) -> None:
    assert split(b"".join(messages), chunk) == messages
    assert split(HEAD + b"".join(messages) + TAIL, chunk) == messages
    assert split(b"".join(map(render, messages)), chunk) == messages


@given(st.binary(max_size=200), st.integers(1, 30))
def test_any_bytes_are_cut_the_same_however_they_are_read(data: bytes, chunk: int) -> None:
    def outcome(size: int) -> list[bytes] | str:
        try:
            return split(data, size)
        except FormatError as error:
            return error.reason

    assert outcome(chunk) == outcome(0)

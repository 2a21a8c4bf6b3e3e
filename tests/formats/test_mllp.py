from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.mllp import KEPT_BYTES, Fault, FaultKind, Frame, Splitter, render

CAP = 1000
ADT = b"MSH|^~\\&|A\rPID|1\r"
ORU = b"MSH|^~\\&|B\rOBX|1\r"
TOLERATED = ("missing_end_byte",)


def split(data: bytes, chunk: int = 0, *, tolerate: bool = False, cap: int = CAP) -> list[Frame | Fault]:
    splitter = Splitter(cap, tolerate_missing_end=tolerate)
    size = chunk or len(data) or 1
    found: list[Frame | Fault] = []
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    return found + splitter.finish()


def closed(payload: bytes, cap: int, *, ended: bool, tolerate: bool) -> Frame | Fault:
    """What becomes of a frame, by the rules."""
    if len(payload) > cap:
        return Fault(FaultKind.OVERSIZE, len(payload), payload[: min(cap, KEPT_BYTES)])
    if not payload:
        return Fault(FaultKind.EMPTY, 0)
    if ended or tolerate:
        return Frame(payload, () if ended else TOLERATED)
    return Fault(FaultKind.UNFINISHED, len(payload), payload)


def reference(data: bytes, cap: int, *, tolerate: bool) -> list[Frame | Fault]:
    """The rules again, a byte at a time and without a thought for speed."""
    found: list[Frame | Fault] = []
    frame: bytes | None = None
    noise = 0
    for byte in [*data, None]:
        if byte in (None, 0x0B):
            if frame is not None:
                found.append(closed(frame, cap, ended=False, tolerate=tolerate))
            elif noise:
                found.append(Fault(FaultKind.NOISE, noise))
            frame, noise = b"", 0
        elif byte == 0x1C:
            if frame is not None:
                found.append(closed(frame, cap, ended=True, tolerate=tolerate))
            else:
                found.append(Fault(FaultKind.END_WITHOUT_START, noise + 1))
            frame, noise = None, 0
        elif frame is not None:
            frame += bytes([byte or 0])
        else:
            noise += byte not in (0x0A, 0x0D)
    return found


CASES = {
    "one frame": (render(ADT), [Frame(ADT)]),
    "two frames in one read": (render(ADT) + render(ORU), [Frame(ADT), Frame(ORU)]),
    "end byte without CR": (b"\x0b" + ADT + b"\x1c" + render(ORU), [Frame(ADT), Frame(ORU)]),
    "line ends between frames are silent": (render(ADT) + b"\r\n\r\n" + render(ORU), [Frame(ADT), Frame(ORU)]),
    "noise before a frame": (b"hello\r\n" + render(ADT), [Fault(FaultKind.NOISE, 5), Frame(ADT)]),
    "noise between frames": (
        render(ADT) + b"xx\ry" + render(ORU),
        [Frame(ADT), Fault(FaultKind.NOISE, 3), Frame(ORU)],
    ),
    "noise at the end": (render(ADT) + b"bye", [Frame(ADT), Fault(FaultKind.NOISE, 3)]),
    "start byte inside a frame": (
        b"\x0b" + ADT[:5] + render(ORU),
        [Fault(FaultKind.UNFINISHED, 5, ADT[:5]), Frame(ORU)],
    ),
    "end of the stream inside a frame": (
        render(ADT) + b"\x0bMSH",
        [Frame(ADT), Fault(FaultKind.UNFINISHED, 3, b"MSH")],
    ),
    "empty frame": (b"\x0b\x1c\r" + render(ADT), [Fault(FaultKind.EMPTY, 0), Frame(ADT)]),
    "start byte and nothing more": (b"\x0b", [Fault(FaultKind.EMPTY, 0)]),
    "end without start": (b"MSH|^~\\&\x1c\r" + render(ADT), [Fault(FaultKind.END_WITHOUT_START, 9), Frame(ADT)]),
    "two end bytes": (render(ADT) + b"\x1c\r", [Frame(ADT), Fault(FaultKind.END_WITHOUT_START, 1)]),
    "end byte inside the data": (
        b"\x0bMSH\x1c\rPID|1\r\x1c\r" + render(ADT),
        [Frame(b"MSH"), Fault(FaultKind.END_WITHOUT_START, 6), Frame(ADT)],
    ),
    "over the cap": (
        render(b"x" * (CAP + 7)) + render(ADT),
        [Fault(FaultKind.OVERSIZE, CAP + 7, b"x" * CAP), Frame(ADT)],
    ),
    "over the cap and never ended": (
        b"\x0b" + b"x" * (CAP + 7) + render(ADT),
        [Fault(FaultKind.OVERSIZE, CAP + 7, b"x" * CAP), Frame(ADT)],
    ),
    "at the cap": (render(b"x" * CAP), [Frame(b"x" * CAP)]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("chunk", [0, 1, 2, 7])
@pytest.mark.parametrize("name", CASES)
def test_cuts_the_same_however_reads_fall(name: str, chunk: int) -> None:
    data, expected = CASES[name]
    assert split(data, chunk) == expected


@pytest.mark.parametrize("chunk", [0, 1, 3])
def test_a_missing_end_byte_is_overlooked_where_that_is_tolerated(chunk: int) -> None:
    data = b"\x0b" + ADT + b"\x0b" + ORU
    assert split(data, chunk, tolerate=True) == [Frame(ADT, TOLERATED), Frame(ORU, TOLERATED)]


def test_tolerance_makes_no_message_of_an_empty_frame() -> None:
    assert split(b"\x0b\x0b" + ADT + b"\x1c\r", tolerate=True) == [Fault(FaultKind.EMPTY, 0), Frame(ADT)]


def test_says_whether_a_frame_is_under_way_and_what_it_holds() -> None:
    splitter = Splitter(CAP)
    assert (splitter.in_frame, splitter.buffered) == (False, 0)
    assert splitter.feed(b"\x0bMSH|") == []
    assert (splitter.in_frame, splitter.buffered) == (True, 4)
    assert splitter.feed(b"^~\x1c") == [Frame(b"MSH|^~")]
    assert (splitter.in_frame, splitter.buffered) == (False, 0)
    assert splitter.feed(b"\r") == []


def test_goes_on_after_the_end_of_a_stream() -> None:
    splitter = Splitter(CAP)
    splitter.feed(b"\x0bMSH")
    assert splitter.finish() == [Fault(FaultKind.UNFINISHED, 3, b"MSH")]
    assert splitter.finish() == []
    assert splitter.feed(render(ADT)) == [Frame(ADT)]


def test_holds_no_more_than_is_kept_of_a_frame_over_the_cap() -> None:
    splitter = Splitter(1_000_000)
    splitter.feed(b"\x0b")
    for _ in range(50):
        splitter.feed(b"x" * 100_000)
    assert splitter.in_frame
    assert splitter.buffered == KEPT_BYTES
    assert splitter.feed(b"\x1c") == [Fault(FaultKind.OVERSIZE, 5_000_000, b"x" * KEPT_BYTES)]
    assert splitter.buffered == 0


def test_payloads_stay_out_of_what_is_logged() -> None:
    [frame, fault] = split(render(b"MSH|secret") + b"\x0bMSH|secret")
    assert "secret" not in repr(frame) + repr(fault)


def test_render_frames_a_payload() -> None:
    assert render(b"MSH") == b"\x0bMSH\x1c\r"


@pytest.mark.parametrize(("payload", "offset"), [(b"MSH\x0b", 3), (b"a\x1cb", 1)])
def test_render_refuses_what_the_peer_would_cut(payload: bytes, offset: int) -> None:
    with pytest.raises(FormatError, match="frames messages in MLLP") as caught:
        render(payload)
    assert (caught.value.reason, caught.value.offset) == ("framing-byte", offset)


wire = st.lists(
    st.one_of(
        st.sampled_from([b"\x0b", b"\x1c", b"\x1c\r", b"\r", b"\n", b"\x0b\x1c\r"]),
        st.binary(max_size=6),
        st.binary(max_size=30).filter(lambda body: b"\x0b" not in body and b"\x1c" not in body).map(render),
    ),
    max_size=12,
).map(b"".join)


@given(wire, st.integers(1, 25), st.integers(0, 40), st.booleans())
def test_agrees_with_the_rules_on_any_bytes(data: bytes, chunk: int, cap: int, tolerate: bool) -> None:
    expected = reference(data, cap, tolerate=tolerate)
    assert split(data, 0, tolerate=tolerate, cap=cap) == expected
    assert split(data, chunk, tolerate=tolerate, cap=cap) == expected

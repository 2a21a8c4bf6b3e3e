"""MLLP framing as pure protocol code: bytes in, frames and faults out, no I/O.

A frame is ``<SB> payload <EB><CR>`` with SB = 0x0B and EB = 0x1C (HL7 Transport Specification: MLLP, Release 1). HL7
text never holds these two bytes, so that they are trusted wherever they stand: an end byte ends the frame, with its CR
or without, and a start byte starts one, even inside another.
"""

from __future__ import annotations

from enum import StrEnum

from hcsyncd.errors import FormatError
from hcsyncd.record import Record

START = b"\x0b"
END = b"\x1c"
TRAILER = b"\x1c\r"
MISSING_END_BYTE = "missing_end_byte"
KEPT_BYTES = 64 * 1024  # of a frame over the cap: enough to read its header and to answer its sender
SB, EB, CR = 0x0B, 0x1C, 0x0D
LINE_ENDS = b"\r\n"


class FaultKind(StrEnum):
    """What was wrong with bytes on the wire: stable codes."""

    NOISE = "noise"  # bytes between frames, other than CR and LF
    UNFINISHED = "unfinished"  # a frame without its end byte
    OVERSIZE = "oversize"  # a frame over the cap
    EMPTY = "empty"  # a frame without a payload
    END_WITHOUT_START = "end-without-start"  # an end byte, and maybe text before it, outside any frame


class Frame(Record, frozen=True):
    """A whole payload, without its start and end bytes. ``tolerated`` names the sender faults that were overlooked."""

    payload: bytes
    tolerated: tuple[str, ...] = ()


class Fault(Record, frozen=True):
    """Bytes that are no frame. ``size`` counts all of them; ``payload`` is what was kept of a frame: everything when
    it is unfinished, at most the first 64 KiB when it is over the cap, nothing for the other kinds."""

    kind: FaultKind
    size: int
    payload: bytes = b""


class Splitter:
    """Cuts the bytes of one connection, or of one file, into frames and faults, wherever reads happen to fall.

    What comes out depends on the bytes alone and never on how they were cut into reads. Memory is bounded by
    ``max_bytes``, the largest payload that is taken; time is linear in the bytes fed.
    """

    __slots__ = ("_kept", "_max_bytes", "_noise", "_oversize", "_size", "_tolerate_missing_end", "in_frame")

    def __init__(self, max_bytes: int, *, tolerate_missing_end: bool = False) -> None:
        self._max_bytes = max_bytes
        self._tolerate_missing_end = tolerate_missing_end
        self._kept: bytes | bytearray = b""  # of the frame under way; bytes as long as it came in one piece
        self._size = 0  # of the frame under way, kept or not
        self._oversize = False
        self._noise = 0  # bytes since the last frame, other than CR and LF
        self.in_frame = False  # a start byte was seen and its end byte was not

    @property
    def buffered(self) -> int:
        """Bytes held in memory for the frame under way."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[Frame | Fault]:
        """Take the bytes of one read; give what they completed, in order."""
        last = len(data) - 2
        if (  # the usual case: one read is one frame, and this connection has nothing else under way
            data.rfind(START) == 0
            and data.find(END) == last
            and data[-1] == CR
            and 1 < last <= self._max_bytes + 1
            and not self.in_frame
            and not self._noise
        ):
            return [Frame(data[1:last])]
        return self._walk(data)

    def finish(self) -> list[Frame | Fault]:
        """The stream has ended: give what was still under way, by the same rules as if a new frame had begun."""
        found: list[Frame | Fault] = []
        self._flush(found)
        return found

    def _walk(self, data: bytes) -> list[Frame | Fault]:
        """Go from one start or end byte to the next. Each of the two searches goes on from its last hit, so that no
        byte is looked at twice by either."""
        found: list[Frame | Fault] = []
        length = len(data)
        position = 0
        start = end = -1
        while position < length:
            if start < position and (start := data.find(START, position)) < 0:
                start = length
            if end < position and (end := data.find(END, position)) < 0:
                end = length
            stop = min(start, end)
            if stop > position:
                self._take(data[position:stop])
            if stop == length:
                break
            if stop == start:
                self._flush(found)
                self.in_frame = True
            else:
                found.append(self._end())
            position = stop + 1
        return found

    def _take(self, piece: bytes) -> None:
        """Take bytes that are neither start nor end byte."""
        if not self.in_frame:
            self._noise += len(piece.translate(None, LINE_ENDS))
            return
        self._size += len(piece)
        if self._oversize:
            return
        if not self._kept:
            self._kept = piece
        else:
            if isinstance(self._kept, bytes):
                self._kept = bytearray(self._kept)
            self._kept += piece
        if self._size > self._max_bytes:
            self._oversize = True
            self._kept = bytes(memoryview(self._kept)[: min(KEPT_BYTES, self._max_bytes)])

    def _end(self) -> Frame | Fault:
        """An end byte."""
        if self.in_frame:
            return self._close(ended=True)
        fault = Fault(FaultKind.END_WITHOUT_START, self._noise + 1)
        self._noise = 0
        return fault

    def _flush(self, found: list[Frame | Fault]) -> None:
        """A start byte or the end of the stream: what is under way will not be completed any more."""
        if self.in_frame:
            found.append(self._close(ended=False))
        elif self._noise:
            found.append(Fault(FaultKind.NOISE, self._noise))
            self._noise = 0

    def _close(self, *, ended: bool) -> Frame | Fault:
        """Give the frame under way, and forget it."""
        payload, size, oversize = bytes(self._kept), self._size, self._oversize
        self._kept, self._size, self._oversize, self.in_frame = b"", 0, False, False
        if oversize:
            return Fault(FaultKind.OVERSIZE, size, payload)
        if not size:
            return Fault(FaultKind.EMPTY, 0)
        if ended:
            return Frame(payload)
        if self._tolerate_missing_end:
            return Frame(payload, (MISSING_END_BYTE,))
        return Fault(FaultKind.UNFINISHED, size, payload)


def render(payload: bytes) -> bytes:
    """Put a payload into a frame. Raises FormatError (``framing-byte``) when it holds a start or end byte, because
    whoever reads the frame would cut it there."""
    if SB in payload or EB in payload:
        offset = max(payload.find(START), payload.find(END))
        code = f"{payload[offset]:02X}"
        raise FormatError(
            "framing-byte", f"byte 0x{code} frames messages in MLLP; HL7 writes it as \\X{code}\\", offset
        )
    return START + payload + TRAILER

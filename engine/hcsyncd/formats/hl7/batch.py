"""The messages of a file: one message, several, or batches in FHS/BHS/BTS/FTS (HL7 v2.5.1 §2.10.3), framed by MLLP or
not.

Read as a stream: what is held is the message under way and one chunk. Everything in the file comes out, but for the
batch lines themselves and blanks between messages: text that belongs to no message is given as a piece of its own,
which whoever reads it will find to be no message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.header import BLANK
from hcsyncd.formats.mllp import START, FaultKind, Frame, Splitter

# The end of a line that one of the five segments follows; behind it, as many bytes as it takes to be sure.
BOUNDARY = re.compile(rb"[\r\n](?=(?:MSH|FHS|BHS)[^\w\s]{2}|[BF]TS[^\w])")
LAST_BOUNDARY = re.compile(rb"[\r\n](?=(?:MSH|FHS|BHS)[^\w\s]{2}|[BF]TS(?:[^\w]|\Z))")
LOOK_AHEAD = 5  # bytes behind the line end that the pattern reads
BATCH_LINES = (b"FHS", b"BHS", b"BTS", b"FTS")


def split_messages(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The messages of a file, in order. Raises FormatError: ``too-large`` for a message over ``max_bytes``, ``noise``
    for text between MLLP frames."""
    stream = iter(chunks)
    head = b""
    for chunk in stream:
        head += chunk
        if head.lstrip(BLANK):
            break
    rest = chain([head], stream)
    if head.lstrip(BLANK).startswith(START):
        yield from _framed(rest, max_bytes)
    else:
        yield from _plain(rest, max_bytes)


def _framed(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The messages in MLLP frames; a frame may hold a batch. The last frame may lack its end byte."""
    splitter = Splitter(max_bytes, tolerate_missing_end=True)
    offset = 0
    for chunk in chain(chunks, [b""]):
        offset += len(chunk)
        for found in splitter.feed(chunk) if chunk else splitter.finish():
            if isinstance(found, Frame):
                yield from _plain([found.payload], max_bytes)
            elif found.kind is FaultKind.OVERSIZE:
                raise _too_large(max_bytes, offset)
            elif found.kind is not FaultKind.EMPTY:
                raise FormatError("noise", f"{found.size} bytes are outside the file's MLLP frames", offset)


def _plain(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The pieces between boundaries. A boundary's line end belongs to the piece before it."""
    held = bytearray()
    searched = offset = 0
    for chunk in chunks:
        held += chunk
        while found := BOUNDARY.search(held, searched):
            yield from _message(bytes(held[: found.end()]))
            del held[: found.end()]
            offset += found.end()
            searched = 0
        searched = max(searched, len(held) - LOOK_AHEAD - 1)
        if len(held) > max_bytes:
            raise _too_large(max_bytes, offset)
    if found := LAST_BOUNDARY.search(held, searched):
        yield from _message(bytes(held[: found.end()]))
        del held[: found.end()]
    yield from _message(bytes(held))


def _message(piece: bytes) -> Iterator[bytes]:
    """A piece without its batch line, if anything is left then."""
    text = piece.lstrip(BLANK)
    if text.startswith(BATCH_LINES):
        piece = re.split(rb"\r\n?|\n", text, maxsplit=1)[-1] if re.search(rb"[\r\n]", text) else b""
    if piece.strip(BLANK):
        yield piece


def _too_large(max_bytes: int, offset: int) -> FormatError:
    return FormatError("too-large", f"a message is larger than {max_bytes} bytes (max_bytes of the format)", offset)

"""Where a body's header segment is, and what it says, read from the bytes without looking at the rest."""

from __future__ import annotations

from typing import NamedTuple

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.delimiters import Delimiters, declared
from hcsyncd.formats.hl7.lines import line_end

HEADER_IDS = (b"MSH", b"FHS", b"BHS")  # a message, a file of batches, a batch (HL7 v2.5.1 §2.10.3)
BLANK = b" \t\r\n\0\xef\xbb\xbf"  # whitespace, padding, and the bytes of UTF-8's byte order mark
WIDE = (b"\xff\xfe", b"\xfe\xff", b"M\0S\0", b"\0M\0S")
LF = 0x0A
CR = 0x0D
FIELDS = 18  # MSH-18 is the last field that anybody here asks for

LF_LINE_ENDS = "lf_line_ends"
NO_FINAL_CR = "no_final_cr"
LEADING_BLANKS = "leading_blanks"


class Header(NamedTuple):
    """The header segment as wire text, cut into fields: ``fields[n - 1]`` is MSH-n, "" where it is not there."""

    fields: list[str]
    delimiters: Delimiters
    tolerated: tuple[str, ...]  # names of the sender faults seen in the whole body


def read_header(body: bytes) -> Header:
    """Read the header of a message or a batch. Raises FormatError: ``empty``, ``no-msh``, ``bad-delimiters``."""
    text, tolerated = header_text(body)
    bar = text[3:4]
    fields = text.split(bar or "|")
    delimiters = declared(bar, fields[1] if len(fields) > 1 else "")
    if len(fields) < FIELDS:
        fields += [""] * (FIELDS - len(fields))
    return Header(fields, delimiters, tolerated)


def header_text(body: bytes) -> tuple[str, tuple[str, ...]]:
    """The header segment as wire text, without its line end, and the names of the sender faults seen in the whole
    body. Raises FormatError: ``empty``, ``no-msh``."""
    start = 0 if body.startswith(b"MSH") else start_of(body)
    faults: tuple[str, ...] = ()
    if LF in body:
        end, faults = _look_closely(body, start)
    else:
        end = body.find(CR, start)
        if body[-1] != CR:
            faults = (NO_FINAL_CR,)
    text = (body[start:end] if end >= 0 else body[start:]).decode("latin-1")
    return text, (LEADING_BLANKS, *faults) if start else faults


def start_of(body: bytes) -> int:
    """The offset of the header segment. Only blanks and a byte order mark may stand before it."""
    if body.startswith(HEADER_IDS):
        return 0
    rest = body.lstrip(BLANK)
    if not rest:
        raise FormatError("empty", "there is no message: the body is empty or blank")
    offset = len(body) - len(rest)
    if rest.startswith(HEADER_IDS):
        return offset
    if body.lstrip(b" \t\r\n").startswith(WIDE):
        raise FormatError("no-msh", "the body is UTF-16, which HL7 over bytes does not allow; send UTF-8")
    raise FormatError("no-msh", "an HL7 message starts with MSH, a batch with FHS or BHS; this body does not", offset)


def _look_closely(body: bytes, start: int) -> tuple[int, tuple[str, ...]]:
    """The end of the header and the faults of a body that holds an LF somewhere."""
    text = body.decode("latin-1")
    pattern = line_end(text[start:], text[start + 3 : start + 4] or "|")
    first = pattern.search(text, start)
    foreign = "\r\n" in text or any(found[0] == "\n" for found in pattern.finditer(text, start))
    faults: tuple[str, ...] = (LF_LINE_ENDS,) if foreign else ()
    if not text.endswith(("\r", "\n")):
        faults += (NO_FINAL_CR,)
    return first.start() if first else -1, faults

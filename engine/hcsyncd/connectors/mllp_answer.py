"""What an MLLP destination reads of a message and of its acknowledgement: three fields, as bytes, without parsing.

MSH-10 message control id, MSH-15 and MSH-16 acknowledgement conditions (HL7 v2.5.1 §2.9.2, table 0155), MSA-1
acknowledgement code (table 0008) and MSA-2 control id of the message that is acknowledged (§2.15.8). Bytes are compared
as they stand, so that escapes and character sets cannot make an answer look like another's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEGMENT_END = re.compile(rb"[\r\n]")
_MSH_10, _MSH_15, _MSH_16 = 9, 14, 15  # MSH-1 is the separator itself, so that MSH-n is part n-1

_CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})


@dataclass(frozen=True, slots=True)
class Question:
    """What a message that leaves says about the answers it wants. Empty conditions: original mode."""

    control_id: bytes
    accept_condition: str  # MSH-15: AL, NE, ER, SU
    application_condition: str  # MSH-16


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The verdict of an answer: MSA-1 and MSA-2."""

    code: str
    control_id: bytes


def read_question(body: bytes) -> Question:
    """Read the header of what leaves; a body that is no HL7 has no control id and asks for nothing."""
    header = _header(body)
    if header is None:
        return Question(b"", "", "")
    fields = _SEGMENT_END.split(header, 1)[0].split(header[3:4])
    fields += [b""] * (_MSH_16 + 1 - len(fields))
    return Question(fields[_MSH_10], _text(fields[_MSH_15]), _text(fields[_MSH_16]))


def read_acknowledgement(body: bytes) -> Acknowledgement | None:
    """Read MSA-1 and MSA-2; None when the body is no HL7 acknowledgement."""
    header = _header(body)
    if header is None:
        return None
    separator = header[3:4]
    for segment in _SEGMENT_END.split(header):
        if segment.startswith(b"MSA" + separator):
            fields = segment.split(separator)
            code = _text(fields[1])
            return Acknowledgement(code, fields[2] if len(fields) > 2 else b"") if code in _CODES else None
    return None


def _header(body: bytes) -> bytes | None:
    """The body from its MSH on; a byte order mark and blank bytes may come first."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start if start.startswith(b"MSH") and len(start) > 3 else None


def _text(field: bytes) -> str:
    return field.strip().decode("ascii", "replace").upper()

"""Acknowledgements, built from the header of the message they answer and from nothing else (HL7 v2.5.1 §2.9, §2.13.1).

The header's fields are wire text, so that what is given back (MSA-2, the names of the two sides) is the same byte for
byte. A reply stays under 4 KB whatever the header holds: peers read it at one go.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from hcsyncd.clock import MICROSECONDS
from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.delimiters import STANDARD, Delimiters
from hcsyncd.formats.hl7.escape import escape

MAX_BYTES = 4000
MAX_FIELD = 200  # of each field given back, once a reply would be over MAX_BYTES
MAX_CONTROL_ID = 1200
MAX_SHORT = 20  # of a version, of a trigger event
MAX_MSA_TEXT = 80  # MSA-3 is ST of 80
MAX_ERR_TEXT = 250  # ERR-8 is TX of 250
DEFAULT_VERSION = "2.5"

APPLICATION_CODES = {Verdict.ACCEPT: "AA", Verdict.ERROR: "AE", Verdict.REJECT: "AR"}
COMMIT_CODES = {Verdict.ACCEPT: "CA", Verdict.ERROR: "CE", Verdict.REJECT: "CR"}

ERROR_TEXTS = {  # HL7 table 0357
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}


def application_code(verdict: Verdict) -> str:
    """MSA-1 of original mode, and of the second answer in enhanced mode (table 0008)."""
    return APPLICATION_CODES[verdict]


def commit_code(verdict: Verdict) -> str:
    """MSA-1 of the first answer in enhanced mode (table 0008)."""
    return COMMIT_CODES[verdict]


class Letterhead:
    """What all acknowledgements of messages with the same header have in common: everything but MSH-7 and MSH-10 of
    both. It is made once for many messages, because most senders change nothing else from one to the next."""

    __slots__ = ("_after_control_id", "_after_time", "_before_time", "_delimiters", "_fields", "_release")

    def __init__(self, fields: list[str], delimiters: Delimiters) -> None:
        """``fields`` are those of the header that is answered, as `header.Header` has them."""
        bar = delimiters.field
        version = fields[11] or DEFAULT_VERSION
        self._fields = fields
        self._delimiters = delimiters
        self._release = _release(version.partition(delimiters.component)[0][:MAX_SHORT])
        kind = _type(fields[8][:MAX_FIELD], delimiters.component, self._release)
        charset = f"{bar * 6}{fields[17]}" if fields[17] else ""
        self._before_time = bar.join(("MSH", fields[1], fields[4], fields[5], fields[2], fields[3], ""))
        self._after_time = f"{bar}{bar}{kind}{bar}"
        self._after_control_id = f"{bar}{fields[10] or 'P'}{bar}{version}{charset}\rMSA{bar}"

    def acknowledgement(self, control_id: str, code: str, answer: Answer) -> bytes:
        """The message that answers the one with this MSH-10; ``code`` is MSA-1 (table 0008)."""
        reply = self._render(control_id, code, answer)
        if len(reply) > MAX_BYTES:
            short = Letterhead([value[:MAX_FIELD] for value in self._fields], self._delimiters)
            reply = short._render(control_id[:MAX_CONTROL_ID], code, answer)
        return reply.encode("latin-1")

    def _render(self, control_id: str, code: str, answer: Answer) -> str:
        bar = self._delimiters.field
        time = _timestamp(answer.at // MICROSECONDS)
        header = f"{self._before_time}{time}{self._after_time}{answer.control_id}{self._after_control_id}"
        text = error = ""
        if answer.text and self._release < (2, 7):  # MSA-3 was withdrawn in 2.7
            text = bar + _plain(answer.text, MAX_MSA_TEXT, self._delimiters)
        if answer.error_code:
            error = _error(answer, self._delimiters, self._release) + "\r"
        return f"{header}{code}{bar}{control_id}{text}\r{error}"


def bare_acknowledgement(code: str, answer: Answer) -> bytes:
    """The answer to a body that has no header to go by: standard delimiters, nobody's name, an empty MSA-2."""
    return _NOBODY.acknowledgement("", code, answer)


def _error(answer: Answer, delimiters: Delimiters, release: tuple[int, ...]) -> str:
    """ERR: since 2.5 a code of its own in ERR-3, severity in ERR-4 and a text in ERR-8; before, all in one in
    ERR-1."""
    bar = delimiters.field
    coded = (answer.error_code, ERROR_TEXTS.get(answer.error_code, ""), "HL70357")
    if release < (2, 5):
        inner = delimiters.subcomponent.join(coded) if delimiters.subcomponent else answer.error_code
        return f"ERR{bar}{delimiters.component * 3}{inner}"
    text = _plain(answer.text, MAX_ERR_TEXT, delimiters)
    return f"ERR{bar * 3}{delimiters.component.join(coded)}{bar}E{bar * 4}{text}"


def _plain(text: str, length: int, delimiters: Delimiters) -> str:
    """Cut, in printable ASCII whatever the message's character set, and escaped, or blanked where that cannot be."""
    short = " ".join(text.split())[:length]
    short = "".join(character if " " <= character <= "~" else "?" for character in short)
    if delimiters.escape:
        return escape(short, delimiters)
    specials = delimiters.field + delimiters.encoding_characters
    return "".join(" " if character in specials else character for character in short)


@lru_cache(maxsize=16)
def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S+0000")


@lru_cache(maxsize=64)
def _release(version: str) -> tuple[int, ...]:
    """MSH-12.1 as numbers; what is no version counts as the default one."""
    numbers = version.split(".")
    if not all(number.isdecimal() for number in numbers):
        return _release(DEFAULT_VERSION)
    return tuple(int(number) for number in numbers)


@lru_cache(maxsize=1024)
def _type(answered: str, component: str, release: tuple[int, ...]) -> str:
    """MSH-9: 2.1 knows only ACK, 2.2 adds the trigger event, 2.3.1 the structure."""
    parts = answered.split(component)
    if len(parts) < 2 or not parts[1] or release < (2, 2):
        return "ACK"
    return component.join(
        ("ACK", parts[1][:MAX_SHORT], "ACK") if release >= (2, 3, 1) else ("ACK", parts[1][:MAX_SHORT])
    )


_NOBODY = Letterhead(["MSH", STANDARD.encoding_characters] + [""] * 16, STANDARD)

"""HL7 v2 as a format of the engine: options, descriptor, and the way in for all the rest of this folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import field_validator

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Answer, FormatKind
from hcsyncd.formats.hl7.ack import application_code, bare_acknowledgement
from hcsyncd.formats.hl7.batch import split_messages
from hcsyncd.formats.hl7.charset import charset_named
from hcsyncd.formats.hl7.document import Hl7Document
from hcsyncd.formats.hl7.header import LEADING_BLANKS, LF_LINE_ENDS, NO_FINAL_CR
from hcsyncd.formats.hl7.path import parse_path
from hcsyncd.formats.hl7.peek import AcknowledgementMode, Hl7Peek
from hcsyncd.options import Options, option

FAULTS = {
    LF_LINE_ENDS: "segments end with LF or CR LF instead of CR",
    NO_FINAL_CR: "the last segment has no CR at its end",
    LEADING_BLANKS: "blanks or a byte order mark stand before the first segment",
}


class Hl7Options(Options):
    """Options of the format `hl7`."""

    acknowledgement_mode: AcknowledgementMode = option(
        AcknowledgementMode.AUTO,
        "`auto` goes by MSH-15 and MSH-16 of each message; `original` answers every message once, whatever they say;"
        " `enhanced` gives commit acknowledgements to senders that do not say, too.",
    )
    tolerate: tuple[Literal["lf_line_ends", "no_final_cr", "leading_blanks"], ...] = option(
        tuple(FAULTS),
        "Known sender faults that are overlooked, each time counted: `lf_line_ends` (LF or CR LF instead of CR),"
        " `no_final_cr`, `leading_blanks` (blanks or a byte order mark before MSH). What is not listed is refused.",
    )
    charset: str = option(
        "",
        "The character set messages really are in, where MSH-18 is wrong or missing: a value of HL7 table 0211."
        " Empty: MSH-18, else UTF-8, else Latin-1.",
        example="8859/1",
    )
    max_bytes: int = option(
        64 * 1024 * 1024, "The largest message that is taken out of a file or batch.", unit="bytes", ge=1024
    )

    @field_validator("charset")
    @classmethod
    def _known_charset(cls, value: str) -> str:
        if value and charset_named(value) is None:
            raise ValueError(f"{value!r} is no character set of HL7 table 0211 (UNICODE UTF-8, 8859/1, ISO IR87, ...)")
        return value


class Hl7Format:
    """Implements `hcsyncd.formats.format.Format`."""

    name = "hl7"
    content_type = "application/hl7-v2"  # as HAPI and the HL7 over HTTP specification write it

    def __init__(self, options: Hl7Options) -> None:
        self._options = options
        self._mode = options.acknowledgement_mode
        self._charset = options.charset
        self._refused = frozenset(FAULTS) - set(options.tolerate)

    def peek(self, body: bytes) -> Hl7Peek:
        """Raises FormatError: ``empty``, ``no-msh``, ``bad-delimiters``, and for a fault that is not tolerated its
        name with hyphens (``lf-line-ends``)."""
        peek = Hl7Peek(body, self._mode, self._charset)
        if self._refused and peek.tolerated:
            for fault in peek.tolerated:
                if fault in self._refused:
                    text = f"{FAULTS[fault]}; the channel does not tolerate that ({fault})"
                    raise FormatError(fault.replace("_", "-"), text)
        return peek

    def refusal(self, body: bytes, error: FormatError, answer: Answer) -> bytes:  # noqa: ARG002 - the answer says it
        """Addressed to the sender when the header can be made out all the same, else to nobody by name."""
        try:
            peek = Hl7Peek(body, self._mode, self._charset)
        except FormatError:
            return bare_acknowledgement(application_code(answer.verdict), answer)
        return peek.accept_reply(answer) or peek.application_reply(answer)

    def parse(self, body: bytes) -> Hl7Document:
        return Hl7Document(body, self._charset)

    def check_path(self, path: str) -> None:
        parse_path(path)

    def split(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Single messages, several in a row, FHS/BHS batches, MLLP frames; see `split_messages`."""
        return split_messages(chunks, self._options.max_bytes)


FORMAT = FormatKind("hl7", "HL7 v2 messages, single or in batches", Hl7Options, Hl7Format)

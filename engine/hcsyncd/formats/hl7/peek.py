"""A look at MSH: what a message is called and what its sender wants to be told, without parsing the rest."""

from __future__ import annotations

from enum import StrEnum

from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.ack import acknowledgement, application_code, commit_code
from hcsyncd.formats.hl7.charset import MAX_NAMES, charset_named, charset_of, declared_charset
from hcsyncd.formats.hl7.header import BLANK, FIELDS, Header, read_header
from hcsyncd.formats.hl7.lines import cut
from hcsyncd.message import Keys


class AcknowledgementMode(StrEnum):
    """How a channel acknowledges: by MSH-15 and MSH-16, or by a rule of its own."""

    AUTO = "auto"
    ORIGINAL = "original"
    ENHANCED = "enhanced"


class Hl7Peek:
    """The header of a message, or of a batch that came as one. Implements `hcsyncd.formats.format.Peek`.

    A batch is named by the first message in it, and by its own header where that says who sent it (FHS-3 to FHS-6 and
    FHS-11, or the same of BHS); it is answered by one acknowledgement in original mode."""

    __slots__ = ("_fields", "_mode", "delimiters", "keys", "tolerated")

    def __init__(self, body: bytes, mode: AcknowledgementMode = AcknowledgementMode.AUTO, charset: str = "") -> None:
        """Raises FormatError: ``empty``, ``no-msh``, ``bad-delimiters``. ``charset`` overrules MSH-18."""
        header = read_header(body)
        fields, delimiters, self.tolerated = header
        if fields[0] != "MSH":
            fields = _batch_fields(header, body)
        self._fields = fields
        self._mode = mode
        self.delimiters = delimiters
        component = delimiters.component
        kind = "^".join(fields[8].split(component, 2)[:2]).rstrip("^")
        sender = _party(fields[2], fields[3], component)
        receiver = _party(fields[4], fields[5], component)
        self.keys = Keys(kind, fields[9], sender, receiver)
        if not (kind.isascii() and fields[9].isascii() and sender.isascii() and receiver.isascii()):
            declared = declared_charset(fields[17][:MAX_NAMES], delimiters.repetition)
            decode = (charset_named(charset) or charset_of(declared, body)).decode
            self.keys = Keys(decode(kind), decode(fields[9]), decode(sender), decode(receiver))

    @property
    def version(self) -> str:
        """MSH-12.1"""
        return self._first(self._fields[11])

    @property
    def processing_id(self) -> str:
        """MSH-11.1: P production, T training, D debugging."""
        return self._first(self._fields[10])

    @property
    def charset(self) -> str:
        """MSH-18, with all its repetitions."""
        return self._fields[17]

    @property
    def enhanced(self) -> bool:
        """Whether the sender asks for the enhanced mode: MSH-15 or MSH-16 is valued (HL7 v2.5.1 §2.9.1)."""
        if self._mode is AcknowledgementMode.AUTO:
            return bool(self._fields[14] or self._fields[15])
        return self._mode is AcknowledgementMode.ENHANCED

    def accept_reply(self, answer: Answer) -> bytes:
        """The commit acknowledgement, by MSH-15 (HL7 v2.5.1 §2.9.3.1). A channel that is set to the enhanced mode
        gives it to senders that do not say, too."""
        if not self.enhanced or not _wanted(self._fields[14] or self._unsaid("AL"), answer.verdict):
            return b""
        return acknowledgement(self._fields, self.delimiters, commit_code(answer.verdict), answer)

    def application_reply(self, answer: Answer) -> bytes:
        """The application acknowledgement: always in original mode (§2.9.2), by MSH-16 in enhanced mode (§2.9.3.2)."""
        if self.enhanced and not _wanted(self._fields[15] or "NE", answer.verdict):
            return b""
        return acknowledgement(self._fields, self.delimiters, application_code(answer.verdict), answer)

    def _unsaid(self, condition: str) -> str:
        """What counts for an empty MSH-15: nothing is wanted, unless the sender says nothing at all."""
        return "NE" if self._fields[15] else condition

    def _first(self, text: str) -> str:
        return text.partition(self.delimiters.component)[0]


def _party(application: str, facility: str, component: str) -> str:
    """One side of the exchange, by the first components of its two HD fields."""
    party = f"{application.partition(component)[0]}|{facility.partition(component)[0]}"
    return party if party != "|" else ""


def _wanted(condition: str, verdict: Verdict) -> bool:
    """HL7 table 0155. A sender that writes something else is more likely to wait for an answer than not."""
    match condition:
        case "NE":
            return False
        case "ER":
            return verdict is not Verdict.ACCEPT
        case "SU":
            return verdict is Verdict.ACCEPT
        case _:
            return True


def _batch_fields(header: Header, body: bytes) -> list[str]:
    """The fields of the first MSH of a batch, with the batch's own names put over it, and no wish for enhanced
    mode."""
    text = body.decode("latin-1")
    bar = header.delimiters.field
    lines, _ = cut(text.lstrip(BLANK.decode("latin-1")), bar)
    outer = [line.split(bar) for line in lines if line.startswith(("FHS" + bar, "BHS" + bar))]
    message = next((line for line in lines if line.startswith("MSH" + bar)), "")
    fields = message.split(bar) + [""] * FIELDS
    fields[0], fields[1] = "MSH", header.fields[1]
    for place, counterpart in ((2, 2), (3, 3), (4, 4), (5, 5), (9, 10)):
        named = (line[counterpart] for line in outer if len(line) > counterpart and line[counterpart])
        fields[place] = next(named, fields[place])
    fields[14] = fields[15] = ""
    return fields

"""A look at MSH: what a message is called and what its sender wants to be told, without parsing the rest."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from operator import itemgetter

from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.ack import Letterhead, application_code, commit_code
from hcsyncd.formats.hl7.charset import MAX_NAMES, charset_named, charset_of, declared_charset
from hcsyncd.formats.hl7.delimiters import Delimiters, declared
from hcsyncd.formats.hl7.header import BLANK, FIELDS, Header, header_text, read_header
from hcsyncd.formats.hl7.lines import cut
from hcsyncd.message import Keys

# What most senders write alike into header after header: all of it but MSH-7, MSH-8, MSH-10 and MSH-13.
REST = 13  # MSH-14 and what follows it is one piece
LASTING = itemgetter(1, 2, 3, 4, 5, 8, 10, 11, REST)
MAX_REMEMBERED = 500  # characters: a longer header is read anew each time, so that no sender can fill the memory


class AcknowledgementMode(StrEnum):
    """How a channel acknowledges: by MSH-15 and MSH-16, or by a rule of its own."""

    AUTO = "auto"
    ORIGINAL = "original"
    ENHANCED = "enhanced"


_AUTO = AcknowledgementMode.AUTO  # Python 3.11 is slow to find a member on its class, and each message asks for it


class _Sender:
    """What the headers of many messages have in common, worked out once. ``fields`` are those of `Header`, not to be
    asked for what may differ from one message to the next."""

    __slots__ = ("delimiters", "fields", "is_ascii", "kind", "letterhead", "receiver", "sender")

    def __init__(self, fields: list[str], delimiters: Delimiters) -> None:
        component = delimiters.component
        self.fields = fields
        self.delimiters = delimiters
        self.kind = "^".join(fields[8].split(component, 2)[:2]).rstrip("^")
        self.sender = _party(fields[2], fields[3], component)
        self.receiver = _party(fields[4], fields[5], component)
        self.is_ascii = self.kind.isascii() and self.sender.isascii() and self.receiver.isascii()
        self.letterhead = Letterhead(fields, delimiters)


class Hl7Peek:
    """The header of a message, or of a batch that came as one. Implements `hcsyncd.formats.format.Peek`.

    A batch is named by the first message in it, and by its own header where that says who sent it (FHS-3 to FHS-6 and
    FHS-11, or the same of BHS); it is answered by one acknowledgement in original mode."""

    __slots__ = ("_common", "_control_id", "_mode", "keys", "tolerated")

    def __init__(self, body: bytes, mode: AcknowledgementMode = AcknowledgementMode.AUTO, charset: str = "") -> None:
        """Raises FormatError: ``empty``, ``no-msh``, ``bad-delimiters``. ``charset`` overrules MSH-18."""
        text, self.tolerated = header_text(body)
        bar = text[3:4]
        pieces = text.split(bar or "|", REST)
        if pieces[0] == "MSH" and len(text) <= MAX_REMEMBERED:
            if len(pieces) <= REST:
                pieces += [""] * (REST + 1 - len(pieces))
            common, control_id = _remembered(bar, LASTING(pieces)), pieces[9]
        else:
            common, control_id = _read_whole(body)
        self._common = common
        self._control_id = control_id
        self._mode = mode
        if common.is_ascii and control_id.isascii():
            self.keys = Keys(common.kind, control_id, common.sender, common.receiver)
        else:
            declared_name = declared_charset(common.fields[17][:MAX_NAMES], common.delimiters.repetition)
            decode = (charset_named(charset) or charset_of(declared_name, body)).decode
            self.keys = Keys(decode(common.kind), decode(control_id), decode(common.sender), decode(common.receiver))

    @property
    def delimiters(self) -> Delimiters:
        return self._common.delimiters

    @property
    def version(self) -> str:
        """MSH-12.1"""
        return self._first(self._common.fields[11])

    @property
    def processing_id(self) -> str:
        """MSH-11.1: P production, T training, D debugging."""
        return self._first(self._common.fields[10])

    @property
    def charset(self) -> str:
        """MSH-18, with all its repetitions."""
        return self._common.fields[17]

    @property
    def enhanced(self) -> bool:
        """Whether the sender asks for the enhanced mode: MSH-15 or MSH-16 is valued (HL7 v2.5.1 §2.9.1)."""
        if self._mode is _AUTO:
            fields = self._common.fields
            return bool(fields[14] or fields[15])
        return self._mode is AcknowledgementMode.ENHANCED

    def accept_reply(self, answer: Answer) -> bytes:
        """The commit acknowledgement, by MSH-15 (HL7 v2.5.1 §2.9.3.1). A channel that is set to the enhanced mode
        gives it to senders that do not say, too."""
        common = self._common
        if not self.enhanced or not _wanted(common.fields[14] or self._unsaid("AL"), answer.verdict):
            return b""
        return common.letterhead.acknowledgement(self._control_id, commit_code(answer.verdict), answer)

    def application_reply(self, answer: Answer) -> bytes:
        """The application acknowledgement: always in original mode (§2.9.2), by MSH-16 in enhanced mode (§2.9.3.2)."""
        common = self._common
        if self.enhanced and not _wanted(common.fields[15] or "NE", answer.verdict):
            return b""
        return common.letterhead.acknowledgement(self._control_id, application_code(answer.verdict), answer)

    def _unsaid(self, condition: str) -> str:
        """What counts for an empty MSH-15: nothing is wanted, unless the sender says nothing at all."""
        return "NE" if self._common.fields[15] else condition

    def _first(self, text: str) -> str:
        return text.partition(self.delimiters.component)[0]


@lru_cache(maxsize=1024)
def _remembered(bar: str, lasting: tuple[str, ...]) -> _Sender:
    """Raises FormatError (``bad-delimiters``), and does so again each time."""
    encoding_characters, *names, kind, processing_id, version, rest = lasting
    delimiters = declared(bar, encoding_characters)
    fields = ["MSH", encoding_characters, *names, "", "", kind, "", processing_id, version, "", *rest.split(bar)]
    return _Sender(fields + [""] * (FIELDS - len(fields)), delimiters)


def _read_whole(body: bytes) -> tuple[_Sender, str]:
    """What a header says, and its control id, where to remember it would not pay: a batch, an extravagant header."""
    header = read_header(body)
    fields = header.fields if header.fields[0] == "MSH" else _batch_fields(header, body)
    return _Sender(fields, header.delimiters), fields[9]


def _party(application: str, facility: str, component: str) -> str:
    """One side of the exchange, by the first components of its two HD fields."""
    party = f"{application.partition(component)[0]}|{facility.partition(component)[0]}"
    return party if party != "|" else ""


def _wanted(condition: str, verdict: Verdict) -> bool:
    """HL7 table 0155. A sender that writes something else is more likely to wait for an answer than not."""
    match condition:
        case "AL":
            return True
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

"""The seam between bytes and documents. A format reads, names and answers bodies; it does no I/O and keeps no state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from hcsyncd.errors import FormatError
from hcsyncd.message import Keys
from hcsyncd.options import Options
from hcsyncd.record import Record


class Verdict(StrEnum):
    """What a sender is told. HL7 table 0008: accept AA or CA, error AE or CE, reject AR or CR."""

    ACCEPT = "accept"
    ERROR = "error"  # this message will not do; sending it again as it is will not help
    REJECT = "reject"  # not now, or not here


class Answer(Record, frozen=True):
    """The content of an acknowledgement, before a format puts it into bytes."""

    verdict: Verdict
    at: int  # microseconds since the epoch; becomes MSH-7
    control_id: str  # the acknowledgement's own MSH-10
    text: str = ""  # for a person at the sender's side; never holds data of the message
    error_code: str = ""  # HL7 table 0357, "" when accepted


class Peek(Protocol):
    """What a format saw at a glance, and what it needs to answer the sender."""

    @property
    def keys(self) -> Keys: ...

    @property
    def tolerated(self) -> tuple[str, ...]:
        """Names of the sender faults that were overlooked in this body (``lf_line_ends``): each is counted."""
        ...

    def accept_reply(self, answer: Answer) -> bytes:
        """The commit acknowledgement (CA, CE, CR) of enhanced mode; b"" in original mode or when none is wanted."""
        ...

    def application_reply(self, answer: Answer) -> bytes:
        """The application acknowledgement (AA, AE, AR); b"" when the format has none or the sender wants none."""
        ...


class Document(Protocol):
    """A parsed body, read and changed by paths in the format's own terms."""

    def get(self, path: str) -> str | None:
        """The first value at ``path``, None when nothing is there. A path that cannot be read raises FormatError."""
        ...

    def all(self, path: str) -> list[str]:
        """Every value at ``path``, over repetitions."""
        ...

    def entries(self) -> Iterator[tuple[str, str]]:
        """Every value there is, with the path that leads to it, in order. What is empty is left out."""
        ...

    def to_bytes(self) -> bytes:
        """Render; a document that was not changed renders the bytes it was read from."""
        ...


class Format(Protocol):
    """One way of writing a message down."""

    @property
    def name(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    def peek(self, body: bytes) -> Peek:
        """Name the message without parsing it. Raises FormatError when the body cannot be this format at all."""
        ...

    def refusal(self, body: bytes, error: FormatError, answer: Answer) -> bytes:
        """The reply to a body that `peek` could not read, made of what can be made out; b"" if the format has none."""
        ...

    def parse(self, body: bytes) -> Document: ...

    def check_path(self, path: str) -> None:
        """Raise FormatError when ``path`` is not a path of this format; lint calls it before any message is read."""
        ...

    def split(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The messages of a file, in order, in memory bounded by the largest one. HL7: FHS/BHS batches (§2.10.3)."""
        ...


@dataclass(frozen=True, slots=True)
class FormatKind:
    """The descriptor at the foot of a format's file."""

    kind: str
    summary: str
    options: type[Options]
    build: Callable[[Any], Format]

"""The messages to send: read from files, folders and standard input, in order, as often as they are wanted."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

from hcsyncd.errors import ConfigError, FormatError
from hcsyncd.formats.hl7.batch import split_messages
from hcsyncd.formats.hl7.header import BLANK, HEADER_IDS, read_header, start_of
from hcsyncd.formats.mllp import START

STDIN = Path("-")
KEPT_BYTES = 32 * 1024 * 1024  # a deck of at most this size is read once; a larger one is read again in each round
CHUNK_BYTES = 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\n")
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. ``name`` says for a person where it came from; the rest is read from an HL7 header."""

    body: bytes = field(repr=False)
    name: str
    control_id: str = ""
    wants_application_reply: bool = False  # MSH-16 is AL: after the commit acknowledgement one more answer comes

    @property
    def is_hl7(self) -> bool:
        return self.body.lstrip(BLANK).startswith(HEADER_IDS)


class Deck:
    """Files cut into messages. HL7 files are split (batches, several messages, MLLP frames) and their line ends become
    the carriage returns that the standard asks for (v2.5.1 §2.4), unless they are to be sent as they are."""

    def __init__(self, paths: Sequence[Path], *, as_is: bool = False, fresh_ids: bool = False) -> None:
        self._files = list(_files(paths))
        self._as_is = as_is
        self._fresh_ids = _fresh_ids() if fresh_ids else None
        self._stdin: bytes | None = None
        if not self._files:
            raise ConfigError("there is nothing to send: the folder holds no files")

    def deal(self, number: int | None) -> Iterator[Outgoing]:
        """``number`` messages, from the top again when the deck is through; None is once through."""
        dealt = self._once() if number is None else islice(self._rounds(), number)
        return map(self._with_fresh_id, dealt) if self._fresh_ids else dealt

    def _rounds(self) -> Iterator[Outgoing]:
        kept: list[Outgoing] | None = []
        size = 0
        for outgoing in self._once():
            size += len(outgoing.body)
            kept = None if kept is None or size > KEPT_BYTES else [*kept, outgoing]
            yield outgoing
        while True:
            yield from kept or self._once()

    def _once(self) -> Iterator[Outgoing]:
        is_empty = True
        for file in self._files:
            for number, body in enumerate(self._bodies(file), 1):
                is_empty = False
                name = "standard input" if file == STDIN else str(file)
                yield _outgoing(body, name if number == 1 else f"{name} (message {number})")
        if is_empty:
            raise ConfigError("there is nothing to send: the files are empty")

    def _bodies(self, file: Path) -> Iterator[bytes]:
        chunks = self._chunks(file)
        first = next(chunks, b"")
        if not first:
            return
        if self._as_is or not first.lstrip(BLANK + START).startswith(HEADER_IDS):
            yield first + b"".join(chunks)
            return
        for body in split_messages(chain([first], chunks), MAX_MESSAGE_BYTES):
            yield _LINE_END.sub(b"\r", body.strip(b"\r\n")) + b"\r"

    def _chunks(self, file: Path) -> Iterator[bytes]:
        if file == STDIN:
            if self._stdin is None:
                self._stdin = sys.stdin.buffer.read()
            yield from (self._stdin,) if self._stdin else ()
            return
        try:
            with file.open("rb") as stream:
                yield from iter(partial(stream.read, CHUNK_BYTES), b"")
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {error.strerror}") from error

    def _with_fresh_id(self, outgoing: Outgoing) -> Outgoing:
        if self._fresh_ids is None or not outgoing.is_hl7:
            return outgoing
        return _outgoing(with_control_id(outgoing.body, next(self._fresh_ids)), outgoing.name)


def with_control_id(body: bytes, control_id: str) -> bytes:
    """The message with another MSH-10; nothing else is touched."""
    start = start_of(body)
    end = min((at for at in (body.find(b"\r", start), body.find(b"\n", start)) if at >= 0), default=len(body))
    bar = body[start + 3 : start + 4]
    fields = body[start:end].split(bar)
    fields += [b""] * (10 - len(fields))
    fields[9] = control_id.encode()
    return body[:start] + bar.join(fields) + body[end:]


def _outgoing(body: bytes, name: str) -> Outgoing:
    try:
        header = read_header(body)
    except FormatError:
        return Outgoing(body, name)
    return Outgoing(body, name, header.fields[9], wants_application_reply=header.fields[15] == "AL")


def _fresh_ids() -> Iterator[str]:
    """Control ids that no other run has used: at most 20 characters, as all versions of HL7 allow (MSH-10)."""
    run = secrets.token_hex(5).upper()
    return (f"{run}{number:010d}" for number in count(1))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path != STDIN and path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        else:
            yield path

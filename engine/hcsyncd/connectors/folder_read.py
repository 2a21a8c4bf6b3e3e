"""The messages of one file, in batches, in memory bounded by the largest message. Runs in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Format

CHUNK_BYTES = 256 * 1024
BATCH_MESSAGES = 64
BATCH_BYTES = 1024 * 1024


class MessageReader:
    """Reads a file once, from its beginning."""

    def __init__(self, path: Path, format: Format, max_message_bytes: int) -> None:  # noqa: A002 - the field's own word
        self._path = path
        self._max_message_bytes = max_message_bytes
        self._messages = format.split(self._chunks())
        self._since_message = 0  # bytes read since the last message came out
        self._position = 0
        self._fault: Exception | None = None

    def batch(self) -> list[bytes]:
        """The next messages; [] at the end. What is whole before a fault is given first; the next call then raises
        FormatError or OSError."""
        if self._fault is not None:
            raise self._fault
        messages: list[bytes] = []
        size = 0
        try:
            while len(messages) < BATCH_MESSAGES and size < BATCH_BYTES:
                message = next(self._messages, None)
                if message is None:
                    break
                self._since_message = 0
                if len(message) > self._max_message_bytes:
                    raise self._oversize()
                messages.append(message)
                size += len(message)
        except (FormatError, OSError) as error:
            if not messages:
                raise
            self._fault = error
        return messages

    def head(self, size: int) -> bytes:
        """The file's first bytes, as far as they can be read: for the dead letter of a file that will not do."""
        try:
            with self._path.open("rb") as file:
                return file.read(size)
        except OSError:
            return b""  # the fault that brought us here says the same, and is told

    def _chunks(self) -> Iterator[bytes]:
        with self._path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                self._since_message += len(chunk)
                self._position += len(chunk)
                yield chunk
                # A format that never finds an end would gather the whole file.
                if self._since_message > self._max_message_bytes + 2 * CHUNK_BYTES:
                    raise self._oversize()

    def _oversize(self) -> FormatError:
        text = f"a message is longer than {self._max_message_bytes} bytes (`max_message_bytes`)"
        return FormatError("oversize", text, self._position)

"""Configurations kept: one row each, their files by content."""

from __future__ import annotations

import hashlib
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hcsyncd.errors import StoreError
from hcsyncd.store.ports import ConfigurationOutcome, ConfigurationRow, NewConfiguration, Queued
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

_decode_changes = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.encode
MAX_NUMBER = 2**63 - 1
RECENT = {"rows": 5000}  # of messages, and of deliveries


@dataclass(frozen=True, slots=True)
class _Settled:
    number: int
    outcome: ConfigurationOutcome
    why: str


class SqliteConfigurations:
    """The configuration history's port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def add(self, new: NewConfiguration) -> Future[int]:
        return self._writer.submit(ADD, new, sum(map(len, new.files.values())))

    def settle(self, number: int, outcome: ConfigurationOutcome, why: str = "") -> Future[None]:
        return self._writer.submit(SETTLE, _Settled(number, outcome, why))

    def drop(self, number: int) -> Future[None]:
        return self._writer.submit(DROP, number)

    async def rows(self, before: int = 0, limit: int = 100) -> list[ConfigurationRow]:
        rows = await self._readers.rows("configurations", {"before": before or MAX_NUMBER, "limit": limit})
        return [_row(row) for row in rows]

    async def row(self, number: int) -> ConfigurationRow | None:
        found = await self.rows(before=number + 1, limit=1) if 0 < number < MAX_NUMBER else []
        return found[0] if found and found[0].number == number else None

    async def last(self) -> ConfigurationRow | None:
        rows = await self._readers.rows("last_configuration")
        return _row(rows[0]) if rows else None

    async def recent_states(self) -> list[tuple[str, str, int]]:
        return [(name, state, count) for name, state, count in await self._readers.rows("recent_states", RECENT)]

    async def queued(self) -> Queued:
        messages = await self._readers.rows("queued_messages")
        deliveries = await self._readers.rows("queued_deliveries")
        return Queued(
            dict(messages), {(route, destination, state): count for route, destination, state, count in deliveries}
        )

    async def files(self, number: int) -> dict[str, bytes]:
        return dict(await self._readers.rows("configuration_files", (number,)))


def _add(transaction: Transaction, group: list[NewConfiguration]) -> list[int]:
    return [_add_one(transaction, new) for new in group]


def _add_one(transaction: Transaction, new: NewConfiguration) -> int:
    connection = transaction.connection
    number: int = connection.execute(QUERIES["next_configuration"].text).get
    values = {
        "number": number,
        "digest": new.digest,
        "now": transaction.now,
        "author": new.author,
        "reason": new.reason,
        "outcome": new.outcome,
        "changes": _encode(new.changes).decode(),
    }
    connection.execute(QUERIES["insert_configuration"].text, values)
    for name, content in sorted(new.files.items()):
        content_id = _content(transaction, content)
        connection.execute(QUERIES["insert_configuration_file"].text, (number, name, content_id))
    return number


def _content(transaction: Transaction, content: bytes) -> int:
    """The row that holds a content; made when there is none yet."""
    connection = transaction.connection
    digest = hashlib.sha256(content).digest()
    found: int | None = connection.execute(QUERIES["configuration_content"].text, (digest,)).get
    if found is not None:
        return found
    made: int = connection.execute(QUERIES["next_configuration_content"].text).get
    transaction.insert("insert_configuration_content", [(made, digest, content)])
    return made


def _settle(transaction: Transaction, group: list[_Settled]) -> Sequence[None]:
    connection = transaction.connection
    for asked in group:
        names = {"number": asked.number, "outcome": asked.outcome, "why": asked.why, "now": transaction.now}
        connection.execute(QUERIES["settle_configuration"].text, names)
        if not connection.changes():
            raise StoreError(f"configuration {asked.number} is not in the store")
        if asked.outcome is ConfigurationOutcome.LIVE:
            connection.execute(
                QUERIES["supersede_configurations"].text, {"number": asked.number, "now": transaction.now}
            )
    return [None] * len(group)


def _drop(transaction: Transaction, group: list[int]) -> Sequence[None]:
    for number in group:
        transaction.connection.execute(QUERIES["drop_configuration"].text, (number,))
        transaction.connection.execute(QUERIES["drop_configuration_files"].text, (number,))
    transaction.connection.execute(QUERIES["drop_unused_contents"].text)
    return [None] * len(group)


def _row(row: tuple[Any, ...]) -> ConfigurationRow:
    number, digest, began_at, ended_at, author, reason, outcome, why, changes = row
    return ConfigurationRow(
        number,
        digest,
        began_at,
        ended_at,
        author,
        reason,
        ConfigurationOutcome(outcome),
        why,
        _decode_changes(changes),
    )


ADD = Work("keeping a configuration", _add)
SETTLE = Work("recording what became of a configuration", _settle)
DROP = Work("forgetting a configuration", _drop)

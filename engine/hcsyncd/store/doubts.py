"""Unsure deliveries settled on the store file."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence

import apsw

from hcsyncd.message import Delivery, MessageState
from hcsyncd.store.outbox import PROGRESS, stand
from hcsyncd.store.ports import Outcome
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import delivery_from
from hcsyncd.store.transaction import Transaction, select
from hcsyncd.store.writer import Work, Writer


class SqliteDoubts:
    """The doubts port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def envelopes(self, delivery_ids: Sequence[int]) -> list[Delivery]:
        def look(connection: apsw.Connection) -> list[Delivery]:
            unsure = [row[0] for row in select(connection, "still_unsure", delivery_ids)]
            return [delivery_from(row) for row in select(connection, "deliveries_with_bodies", unsure)]

        return await self._readers.read(look)

    def sent(self, outcome: Outcome) -> Future[MessageState | None]:
        return self._writer.submit(SENT, outcome)

    def not_sent(self, outcome: Outcome) -> Future[Delivery | None]:
        return self._writer.submit(NOT_SENT, outcome)


def _sent(transaction: Transaction, group: list[Outcome]) -> list[MessageState | None]:
    answers: list[MessageState | None] = []
    for outcome in group:
        known = transaction.select("still_unsure", [outcome.delivery_id])
        answers.append(PROGRESS.run(transaction, [outcome])[0] if known else None)
    return answers


def _not_sent(transaction: Transaction, group: list[Outcome]) -> list[Delivery | None]:
    answers: list[Delivery | None] = []
    for outcome in group:
        delivery_id = outcome.delivery_id
        if not transaction.select("still_unsure", [delivery_id]):
            answers.append(None)
            continue
        PROGRESS.run(transaction, [outcome])  # for its attempt, that tells who said so
        transaction.update("reopen_deliveries", [delivery_id])
        stand(transaction, {outcome.message_id})
        answers.append(delivery_from(transaction.select("deliveries_with_bodies", [delivery_id])[0]))
    return answers


SENT = Work("settling an unsure delivery as sent", _sent)
NOT_SENT = Work("opening an unsure delivery again", _not_sent)

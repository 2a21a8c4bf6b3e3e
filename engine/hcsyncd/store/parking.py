"""Deliveries put under the task that they wait for: part of the transaction that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hcsyncd.store.ports import Unmapped
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.transaction import Transaction


def park(transaction: Transaction, parked: Sequence[tuple[int, int, Unmapped]]) -> None:
    """Note (delivery, message, what is missing); a task is opened for each code that has none."""
    if not parked:
        return
    tasks: dict[Unmapped, int] = {}
    for _, _, unmapped in parked:
        if unmapped not in tasks:
            key = (unmapped.table, unmapped.code)
            transaction.connection.execute(QUERIES["open_task"].text, (*key, transaction.now))
            found: Any = transaction.connection.execute(QUERIES["task_of"].text, key).get
            tasks[unmapped] = found
    rows = [(delivery_id, message_id, tasks[unmapped]) for delivery_id, message_id, unmapped in parked]
    transaction.insert("insert_parked", rows)

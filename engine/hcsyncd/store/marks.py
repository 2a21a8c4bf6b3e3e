"""Replies that were given, not yet noted on disk: a mark rides with the hand-over of its message, or goes with others.

An update of its own for each mark would cost as much as handing the message on. Until its commit, the store tells the
reply as owed, and after a crash it stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from hcsyncd.message import ReplyState
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

LAZY_SECS = 0.2  # how long a mark may wait for the hand-over of its message


class Marks:
    """The marks that wait, by message. Belongs to the event loop that made it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, ReplyState] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message_id: int, state: ReplyState) -> None:
        """Have a mark written soon; the last word on a message counts."""
        self._waiting[message_id] = state
        if self._timer is None:
            self._timer = self._loop.call_later(LAZY_SECS, self.flush)

    def take(self, message_ids: Iterable[int]) -> dict[int, ReplyState]:
        """The marks that wait for these messages; they are the caller's to write."""
        waiting = self._waiting
        return {message_id: waiting.pop(message_id) for message_id in message_ids if message_id in waiting}

    def flush(self) -> None:
        """Have all that wait written now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            marks, self._waiting = self._waiting, {}
            self._writer.submit(MARK_REPLIED, marks).add_done_callback(_overlook)


def _overlook(written: asyncio.Future[None]) -> None:
    """Nobody waits for a mark: when it fails, its reply stays owed, and the writer has told of the failure."""
    if not written.cancelled():
        written.exception()


def write_marks(transaction: Transaction, marks: Mapping[int, ReplyState]) -> None:
    by_state: dict[ReplyState, list[int]] = {}
    for message_id, state in marks.items():
        by_state.setdefault(state, []).append(message_id)
    for state, message_ids in by_state.items():
        transaction.update("mark_replied", message_ids, state)


def _mark_replied(transaction: Transaction, group: list[Mapping[int, ReplyState]]) -> Sequence[None]:
    together: dict[int, ReplyState] = {}
    for marks in group:
        together.update(marks)
    write_marks(transaction, together)
    return [None] * len(group)


MARK_REPLIED: Work[Mapping[int, ReplyState], None] = Work("marking replies", _mark_replied, rank=1)

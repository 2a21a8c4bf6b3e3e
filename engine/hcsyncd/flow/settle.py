"""Outcomes on their way to the store (T4), and what waits while the store does not keep up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from hcsyncd.errors import StoreError
from hcsyncd.message import MessageState
from hcsyncd.store.ports import Outbox, Outcome

UNSETTLED_LIMIT = 512  # outcomes on their way to the store before sends wait for it
STORE_RETRY_SECS = 1.0


class Settler:
    """Writes one dispatcher's outcomes. ``on_settled`` is told each outcome and the state its message is in then."""

    def __init__(self, outbox: Outbox, on_settled: Callable[[Outcome, MessageState], None]) -> None:
        self._outbox = outbox
        self._on_settled = on_settled
        self._behind = 0
        self._repeats: set[asyncio.Task[None]] = set()
        self.keeps_up = asyncio.Event()  # cleared: send nothing whose outcome could not be kept
        self.keeps_up.set()

    async def settle(self, outcome: Outcome) -> None:
        """T4, tried until it holds: what follows in the lane must not overtake it."""
        while True:
            try:
                state = await self._outbox.settle(outcome)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
            else:
                self._on_settled(outcome, state)
                return

    def settle_behind(self, outcome: Outcome) -> None:
        """T4, without waiting for it."""
        self._behind += 1
        if self._behind >= UNSETTLED_LIMIT:
            self.keeps_up.clear()
        self._outbox.settle(outcome).add_done_callback(partial(self._settled_behind, outcome))

    async def stop(self) -> None:
        """Give up on outcomes that the store refuses: their deliveries are open in the store, and are made again."""
        for repeat in self._repeats:
            repeat.cancel()
        await asyncio.gather(*self._repeats, return_exceptions=True)

    def _settled_behind(self, outcome: Outcome, done: asyncio.Future[MessageState]) -> None:
        if done.cancelled():
            return
        if done.exception() is None:
            self._caught_up_by_one()
            self._on_settled(outcome, done.result())
            return
        self.keeps_up.clear()
        repeat = asyncio.get_running_loop().create_task(self._repeat(outcome))
        self._repeats.add(repeat)
        repeat.add_done_callback(self._repeats.discard)

    async def _repeat(self, outcome: Outcome) -> None:
        await asyncio.sleep(STORE_RETRY_SECS)
        await self.settle(outcome)
        self._caught_up_by_one()

    def _caught_up_by_one(self) -> None:
        self._behind -= 1
        if self._behind < UNSETTLED_LIMIT // 2:
            self.keeps_up.set()

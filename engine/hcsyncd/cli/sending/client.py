"""Sending under way: several connections that take the next message each, at no more than the wanted rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from hcsyncd.cli.sending.deck import Outgoing
from hcsyncd.cli.sending.tally import Answered, Tally
from hcsyncd.errors import HcsyncdError


class Client(Protocol):
    """One connection to the engine under test."""

    async def exchange(self, outgoing: Outgoing) -> Answered:
        """Send one message and judge its answer. Raises Transient when the other side cannot be reached at all."""
        ...

    async def close(self) -> None: ...


class Pace:
    """Hands out moments that are a wanted rate apart; 0 is as fast as possible."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    async def wait(self) -> None:
        if not self._interval:
            return
        now = time.monotonic()
        self._next = max(self._next, now - self._interval)  # a slow answer is not made up for by a burst
        wait = self._next - now
        self._next += self._interval
        if wait > 0:
            await asyncio.sleep(wait)


async def send_all(
    messages: Iterator[Outgoing],
    clients: list[Client],
    rate: float,
    tally: Tally,
    on_answer: Callable[[Outgoing, Answered], None],
) -> None:
    """Send every message once, each connection one at a time. Raises Transient when the other side cannot be reached,
    and what reading the messages raises."""
    pace = Pace(rate)

    async def work(client: Client) -> None:
        try:
            for outgoing in messages:
                await pace.wait()
                started = time.perf_counter()
                answered = await client.exchange(outgoing)
                tally.add(answered.outcome, time.perf_counter() - started)
                on_answer(outgoing, answered)
        finally:
            await client.close()

    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(work(client))
    except* HcsyncdError as failed:
        raise next(_leaves(failed)) from None


def _leaves(group: BaseExceptionGroup[HcsyncdError]) -> Iterator[HcsyncdError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error

"""Stored arrivals through the configuration that runs and through the one on disk, and where the two differ. Nothing is
stored and nothing is sent.

Live traffic goes first: the workers take these batches only while no live one waits and never more than one at a time,
bodies are compared in a thread, and between batches the comparison rests as long as it worked, and longer while live
batches or writes wait.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from hcsyncd.errors import ControlError
from hcsyncd.formats.format import Format
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.record import Record
from hcsyncd.runtime.difference import field_differences
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.store.ports import Filter, Handoff, History, MessageRow, NewDelivery

BATCH_MESSAGES = 16
BATCH_BYTES = 1 << 20  # of bodies; a single larger one goes alone
FIELDS_BYTES = 1 << 20  # a body above it is not taken apart
MAX_FIELDS = 20  # of one message on one way that are listed
IDLE_SECS = 120.0  # a comparison that nobody goes on with is ended
MAX_OPEN = 2
REST_SECS = 0.05
LONGEST_REST_SECS = 1.0

Busy = Callable[[], bool]  # whether live work waits
NOT_MADE = frozenset({DeliveryState.DEAD, DeliveryState.PARKED})


class Way(NamedTuple):
    """A route to a destination."""

    route: str
    destination: str


class ShadowDifference(Record, frozen=True):
    """One thing in which the two make something else of a message. ``what`` is a path into what leaves, or says in
    words what else differs; ``was`` and ``now`` are "" unless values were asked for."""

    message_id: int
    route: str  # "": the message as a whole
    destination: str
    what: str
    was: str = ""
    now: str = ""


class ShadowPage(Record, frozen=True, gc=True):
    """What was looked at in one go. ``by_route`` counts the messages that either configuration sends by a route."""

    after_id: int  # where to go on
    more: bool
    looked: int
    by_route: dict[str, int]
    differences: list[ShadowDifference]


@dataclass(slots=True)
class Comparison:
    """Two configurations, their transforms loaded."""

    running: Rehearsal
    on_disk: Rehearsal
    closing: AsyncExitStack
    page: asyncio.Lock = field(default_factory=asyncio.Lock)
    ends: asyncio.TimerHandle | None = None


class Shadow:
    """The comparisons that are open. Each goes on page by page, as its operator asks."""

    def __init__(self, history: History, busy: Busy) -> None:
        self._history = history
        self._busy = busy
        self._open: dict[int, Comparison] = {}
        self._numbers = itertools.count(1)

    def refuse_too_many(self) -> None:
        """Raises ControlError when no other comparison may begin."""
        if len(self._open) >= MAX_OPEN:
            raise ControlError(f"{MAX_OPEN} comparisons are under way; wait until one of them ends")

    def begin(self, running: Rehearsal, on_disk: Rehearsal, closing: AsyncExitStack) -> int:
        """The number of a new comparison, which closes ``closing`` at its end."""
        number = next(self._numbers)
        self._open[number] = Comparison(running, on_disk, closing)
        self._wait(number)
        return number

    async def page(self, number: int, wanted: Filter, *, values: bool) -> ShadowPage:
        """Look at the next arrivals that a filter means. Raises ControlError when the comparison was ended."""
        comparison = self._open.get(number)
        if comparison is None:
            raise ControlError("this comparison was ended; begin it again")
        async with comparison.page:
            self._wait(number)
            rows = await self._history.find(wanted)
            arrivals = [row for row in rows if row.replay_of is None and not row.body_removed_at]
            page = ShadowPage(
                after_id=rows[-1].id if rows else wanted.after_id,
                more=len(rows) == wanted.limit,
                looked=len(arrivals),
                by_route={},
                differences=[],
            )
            for batch in _batches(arrivals):
                if number not in self._open:  # it was ended meanwhile
                    break
                await self._compare(comparison, batch, page, values=values)
        self._wait(number)
        return page

    async def end(self, number: int) -> None:
        """Forget a comparison; one that was ended before is no error."""
        comparison = self._open.pop(number, None)
        if comparison is None:
            return
        if comparison.ends is not None:
            comparison.ends.cancel()
        async with comparison.page:
            await comparison.closing.aclose()

    def _wait(self, number: int) -> None:
        """End the comparison when nobody goes on with it."""
        comparison = self._open.get(number)
        if comparison is None:
            return
        loop = asyncio.get_running_loop()
        if comparison.ends is not None:
            comparison.ends.cancel()
        comparison.ends = loop.call_later(IDLE_SECS, lambda: self._lapse(number))

    def _lapse(self, number: int) -> None:
        self._lapsing = asyncio.get_running_loop().create_task(self.end(number), name=f"end comparison {number}")

    async def _compare(self, comparison: Comparison, ids: Sequence[int], page: ShadowPage, *, values: bool) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        messages = await self._history.messages(ids)
        old = await _hand_offs(comparison.running, messages)
        new = await _hand_offs(comparison.on_disk, messages)

        def compare() -> list[tuple[set[str], list[ShadowDifference]]]:
            return [
                (routes_of(before, after), list(_differences(message, (before, after), comparison)))
                for message, before, after in zip(messages, old, new, strict=True)
            ]

        for routes, found in await asyncio.to_thread(compare):
            for route in routes:
                page.by_route[route] = page.by_route.get(route, 0) + 1
            page.differences.extend(found if values else map(_masked, found))
        await self._rest(loop.time() - began)

    async def _rest(self, worked_secs: float) -> None:
        await asyncio.sleep(min(worked_secs, LONGEST_REST_SECS))
        rested = 0.0
        while self._busy() and rested < LONGEST_REST_SECS:
            await asyncio.sleep(REST_SECS)
            rested += REST_SECS


def _batches(rows: Sequence[MessageRow]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for row in rows:
        if batch and (len(batch) >= BATCH_MESSAGES or size + row.bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row.id)
        size += row.bytes
    if batch:
        yield batch


async def _hand_offs(rehearsal: Rehearsal, messages: Sequence[Message]) -> list[Handoff | None]:
    """None for a message of a channel that the configuration does not have."""
    known = [message for message in messages if rehearsal.knows(message.channel)]
    found = {handoff.message_id: handoff for handoff in await rehearsal.hand_offs(known)} if known else {}
    return [found.get(message.id) for message in messages]


def routes_of(*handoffs: Handoff | None) -> set[str]:
    return {made.route for handoff in handoffs if handoff for made in handoff.deliveries}


def _masked(difference: ShadowDifference) -> ShadowDifference:
    return ShadowDifference(difference.message_id, difference.route, difference.destination, difference.what)


def _differences(
    message: Message, made: tuple[Handoff | None, Handoff | None], comparison: Comparison
) -> Iterator[ShadowDifference]:
    old, new = made
    if old is None or new is None:
        if old is not new:
            what = f"channel {message.channel} is {'new' if old is None else 'gone'}"
            yield ShadowDifference(message.id, "", "", what)
        return
    was, now = _fate(old), _fate(new)
    if was != now:
        yield ShadowDifference(message.id, "", "", f"{was} -> {now}")
    before, after = _by_way(old), _by_way(new)
    for way in dict.fromkeys([*before, *after]):
        its_format = comparison.on_disk.format_of(way.destination) or comparison.running.format_of(way.destination)
        pairs = itertools.zip_longest(before.get(way, ()), after.get(way, ()))
        for one, other in pairs:
            for what, its_was, its_now in _delivery_differences(message, one, other, its_format):
                yield ShadowDifference(message.id, way.route, way.destination, what, its_was, its_now)


def _fate(handoff: Handoff) -> str:
    """What became of a message as a whole, where that is not told by its deliveries."""
    match handoff.state:
        case MessageState.DEAD:
            return f"failed ({handoff.cause})"
        case MessageState.FILTERED | MessageState.UNROUTED:
            return str(handoff.state)
        case _:
            return "routed"


def _by_way(handoff: Handoff) -> dict[Way, list[NewDelivery]]:
    ways: dict[Way, list[NewDelivery]] = {}
    for made in handoff.deliveries:
        ways.setdefault(Way(made.route, made.destination), []).append(made)
    return ways


def _delivery_differences(
    message: Message, old: NewDelivery | None, new: NewDelivery | None, its_format: Format | None
) -> Iterator[tuple[str, str, str]]:
    if old is None or new is None:
        yield "is no longer sent" if new is None else "is sent now", "", ""
        return
    if old.state in NOT_MADE or new.state in NOT_MADE:
        was, now = _failure(old), _failure(new)
        if was != now:
            yield f"{was} -> {now}", old.text, new.text
        return
    for what, was, now in (
        ("the lane", old.lane, new.lane),
        ("the content type", old.content_type, new.content_type),
        ("the headers", _sorted(old), _sorted(new)),
    ):
        if was != now:
            yield what, was, now
    was_body = message.body if old.body is None else old.body
    now_body = message.body if new.body is None else new.body
    if was_body == now_body:
        return
    if its_format is None or max(len(was_body), len(now_body)) > FIELDS_BYTES:
        yield "the body", f"{len(was_body)} bytes", f"{len(now_body)} bytes"
        return
    for one in itertools.islice(field_differences(was_body, now_body, its_format), MAX_FIELDS):
        yield one.path or "how the body is written", one.was or "", one.now or ""


def _failure(made: NewDelivery) -> str:
    return f"{made.state} ({made.cause})" if made.state in NOT_MADE else "sent"


def _sorted(made: NewDelivery) -> str:
    return "; ".join(f"{name}: {value}" for name, value in sorted(made.headers.items()))

"""Dead letters as a person works them off: grouped by cause and way, each with who takes care of it and until when."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.config.model import Site
from hcsyncd.errors import ControlError
from hcsyncd.events import DeadLetterAssigned, Event
from hcsyncd.record import Record
from hcsyncd.runtime.arrears import owner_of
from hcsyncd.store.ports import Assignment, DeadRow, DeliveryRow, Filter, History, MessageRow, Tasks

PAGE = 1000  # dead letters looked at together
_PLACE = re.compile(r"^(\S+\.py):(\d+)")  # as a failed transform's text begins


class Letter(Record, frozen=True):
    """A dead letter with the owner and the due time that hold for it."""

    message: MessageRow
    delivery: DeliveryRow | None
    since: int  # when it died
    owner: str
    due_at: int
    overdue: bool
    note: str
    assigned_by: str

    @property
    def cause(self) -> str:
        return (self.delivery or self.message).cause

    @property
    def channel(self) -> str:
        """The destination, or the source of what died at its arrival."""
        return self.delivery.destination if self.delivery else self.message.channel


class Group(Record, frozen=True):
    """Dead letters with one cause on one way, of one owner."""

    cause: str
    route: str  # "" for what died at its arrival
    channel: str  # the destination, or the source of what died at its arrival
    owner: str
    count: int
    oldest_at: int
    due_at: int  # the earliest
    overdue: int
    text: str  # of one of them
    message_id: int  # that one


class Example(Record, frozen=True):
    """One dead letter that stands for others."""

    letter: Letter
    more: int  # that are the same: cause, way and place
    file: str  # of the transform that failed, "" where none did
    line: int


@dataclass(frozen=True, slots=True)
class Care:
    """Who is to take care, as a person says."""

    owner: str
    due_at: int
    note: str
    by: str


class DeadGroups:
    """Reads in pages: any number of dead letters takes the memory of one."""

    def __init__(
        self,
        history: History,
        tasks: Tasks,
        site: Callable[[], Site],
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._history = history
        self._tasks = tasks
        self._site = site
        self._emit = emit
        self._clock = clock

    async def letters(self, wanted: Filter) -> list[Letter]:
        """One page of dead letters, as the filter wants them."""
        return await self._with_care(await self._history.dead(wanted))

    async def groups(self, wanted: Filter) -> list[Group]:
        """The most urgent first."""
        groups: dict[tuple[str, str, str, str], Group] = {}
        async for letter in self._all(wanted):
            row = letter.delivery or letter.message
            route = letter.delivery.route if letter.delivery else ""
            key = (letter.cause, route, letter.channel, letter.owner)
            known = groups.get(key)
            late = int(letter.overdue)
            groups[key] = (
                replace(
                    known,
                    count=known.count + 1,
                    oldest_at=min(known.oldest_at, letter.since),
                    due_at=min(known.due_at, letter.due_at),
                    overdue=known.overdue + late,
                    text=row.text,
                    message_id=letter.message.id,
                )
                if known
                else Group(*key, 1, letter.since, letter.due_at, late, row.text, letter.message.id)
            )
        return sorted(groups.values(), key=lambda group: (group.due_at, group.cause, group.channel, group.route))

    async def example(self, wanted: Filter) -> Example:
        """The latest dead letter that the filter means. Raises ControlError when there is none."""
        found = await self.letters(replace(wanted, limit=1, newest_first=True))
        if not found:
            raise ControlError("there is no such dead letter; hcsyncd dead list shows those there are")
        letter = found[0]
        place = _PLACE.match((letter.delivery or letter.message).text)
        same = -1
        async for other in self._all(wanted):
            same += _looks_like(other, letter)
        return Example(letter, same, place[1] if place else "", int(place[2]) if place else 0)

    async def assign(self, wanted: Filter, care: Care) -> int:
        """Say who takes care of the dead letters of messages; how many dead letters that is."""
        count = 0
        async for page in self._pages(wanted):
            given = [
                Assignment(
                    row.message.id,
                    row.delivery.id if row.delivery else 0,
                    care.owner,
                    care.due_at,
                    care.note,
                    care.by,
                    self._clock.now(),
                )
                for row in page
            ]
            await self._tasks.assign(given)
            for message_id in dict.fromkeys(one.message_id for one in given):
                self._emit(DeadLetterAssigned(message_id, care.owner, care.by))
            count += len(given)
        return count

    async def _all(self, wanted: Filter) -> AsyncIterator[Letter]:
        async for page in self._pages(wanted):
            for letter in await self._with_care(page):
                yield letter

    async def _pages(self, wanted: Filter) -> AsyncIterator[list[DeadRow]]:
        """Everything that the filter means, in the order of arrival. A page that is full may end within a message, the
        rest of whose dead letters the next page would step over: it begins anew with that message."""
        after = 0
        while True:
            rows = await self._history.dead(replace(wanted, after_id=after, limit=PAGE, newest_first=False))
            if len(rows) < PAGE:
                yield rows
                return
            last = rows[-1].message.id
            whole = [row for row in rows if row.message.id != last] or rows
            yield whole
            after = whole[-1].message.id

    async def _with_care(self, rows: Sequence[DeadRow]) -> list[Letter]:
        ids = sorted({row.message.id for row in rows})
        known = {(one.message_id, one.delivery_id): one for one in await self._tasks.assignments(ids)}
        site, now = self._site(), self._clock.now()
        due_in = int(site.daemon.dead_letters.due_secs * MICROSECONDS)
        letters = []
        for row in rows:
            delivery = row.delivery
            channel = delivery.destination if delivery else row.message.channel
            since = max(delivery.settled_at, delivery.created_at) if delivery else row.message.received_at
            given = known.get((row.message.id, delivery.id if delivery else 0))
            due_at = (given.due_at if given else 0) or since + due_in
            letters.append(
                Letter(
                    row.message,
                    delivery,
                    since,
                    given.owner if given else owner_of(site, channel),
                    due_at,
                    due_at < now,
                    given.note if given else "",
                    given.by if given else "",
                )
            )
        return letters


def _looks_like(one: Letter, other: Letter) -> bool:
    way = (one.cause, one.channel, one.delivery.route if one.delivery else "")
    if way != (other.cause, other.channel, other.delivery.route if other.delivery else ""):
        return False
    places = [_PLACE.match((letter.delivery or letter.message).text) for letter in (one, other)]
    return len({place[0] if place else "" for place in places}) == 1

"""What a replay would do, message by message and way by way, before anything is done.

A plan is made in pages, with memory that does not grow: each page is read, made by the configuration that the person
chose, compared with what was made then, and kept. A daemon that ends in between goes on with the next page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import groupby
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec.structs import replace

from hcsyncd.errors import ControlError, FormatError, PluginError
from hcsyncd.message import MessageState
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.runtime.replay_verdict import Case, Edited, Judge, Manner, Subject, Way, as_made, blocked
from hcsyncd.runtime.verb import Request
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import DeliveryRow, Filter, History, PlannedItem, PlannedPage, ReplayRow, Replays

PAGE_MESSAGES = 64
PAGE_LETTERS = 1000  # dead letters read at once: no message has more
BATCH_BYTES = 4 * 1024 * 1024  # of bodies, in the workers at once
OLDER_LOADED = 3  # configurations of other days that stay loaded while a plan is made

Generation = Annotated[int, msgspec.Meta(ge=1)] | Literal["now", "then"]


class ReplayAsk(Request, frozen=True):
    """What a person wants to send again, and how. ``wanted`` finds messages, or, with ``dead``, dead letters. ``route``
    and ``to`` narrow the ways; ``body`` stands in for the one message's own bytes."""

    wanted: Selection = Selection()
    dead: bool = False
    route: str = ""
    to: str = ""
    body: bytes | None = None
    generation: Generation = "now"
    again: bool = False  # also what was sent before under the same idempotency key
    new_intent: bool = False  # under new keys: a new business effect
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # deliveries a second; 0: no limit
    window: Annotated[str, msgspec.Meta(max_length=20)] = ""  # hours of the day, local time
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""

    def manner(self, replay_id: int, edited: Edited | None) -> Manner:
        return Manner(
            way=Way(self.route, self.to),
            again=self.again,
            renewal=f"r{replay_id}" if self.new_intent else "",
            edited=edited,
            makes_all_anew=edited is not None or self.generation != "now" or self.new_intent,
        )


class Makers(Protocol):
    """Where a plan gets what the configurations would make."""

    def rehearsal(self) -> Rehearsal:
        """The configuration that is live."""
        ...

    def older(self, number: int) -> AbstractAsyncContextManager[Rehearsal]:
        """One that was. Raises ControlError or PluginError when it cannot be used."""
        ...

    def reachable(self) -> frozenset[str]:
        """The destinations that are in service."""
        ...


class Planner:
    """Plans one replay, from wherever it stands."""

    def __init__(
        self,
        replay: ReplayRow,
        ask: ReplayAsk,
        edited: Edited | None,
        stores: tuple[Replays, History],
        makers: Makers,
        expire_secs: float,
    ) -> None:
        self._replay = replay
        self._ask = ask
        self._manner = ask.manner(replay.id, edited)
        self._replays, self._history = stores
        self._makers = makers
        self._expire_secs = expire_secs

    async def run(self) -> ReplayRow:
        """Plan to the end; the replay as it stands then: planned, or cancelled in between."""
        row = self._replay
        async with AsyncExitStack() as stack:
            older = _Older(self._makers, stack)
            async for subjects, position, is_last in self._pages():
                items = await self._judged(subjects, older)
                page = PlannedPage(row.id, position, items, is_last, self._expire_secs)
                turn = await self._replays.add(page)
                row = turn.replay
                if not turn.made:
                    break
        return row

    # What is meant

    async def _pages(self) -> AsyncIterator[tuple[list[Subject], int, bool]]:
        """The subjects in the order of their messages, page by page; up to which message; whether it is the last."""
        position = self._replay.position
        is_last = False
        while not is_last:
            look = self._dead_page if self._ask.dead else self._message_page
            subjects, position, is_last = await look(position)
            yield subjects, position, is_last

    async def _message_page(self, position: int) -> tuple[list[Subject], int, bool]:
        wanted = self._filter(position, PAGE_MESSAGES)
        rows = await self._history.find(wanted)
        if wanted.ids:
            return [Subject(row) for row in rows], wanted.ids[-1], self._is_beyond_ids(wanted.ids[-1])
        # A filter means arrivals: else a second replay of the same filter would send everything twice.
        subjects = [Subject(row) for row in rows if row.replay_of is None]
        return subjects, rows[-1].id if rows else position, len(rows) < PAGE_MESSAGES

    async def _dead_page(self, position: int) -> tuple[list[Subject], int, bool]:
        wanted = self._filter(position, PAGE_LETTERS)
        letters = await self._history.dead(wanted)
        is_last = len(letters) < PAGE_LETTERS
        groups = [(row, [one.delivery for one in group]) for row, group in groupby(letters, lambda one: one.message)]
        if not is_last and len(groups) > 1:
            groups.pop()  # the rest of it is on the next page
        subjects = [
            Subject(row, tuple(one for one in deliveries if one is not None), is_whole=None in deliveries)
            for row, deliveries in groups[:PAGE_MESSAGES]
        ]
        is_last = is_last and len(groups) <= PAGE_MESSAGES
        if wanted.ids and is_last:
            return subjects, wanted.ids[-1], self._is_beyond_ids(wanted.ids[-1])
        return subjects, subjects[-1].row.id if subjects else position, is_last

    def _is_beyond_ids(self, position: int) -> bool:
        return position >= max(self._ask.wanted.ids)

    def _filter(self, position: int, limit: int) -> Filter:
        """The next of what is meant, and nothing that came in after it was asked for."""
        wanted = self._ask.wanted.filter()
        ids = sorted(one for one in wanted.ids if one > position)
        ceiling = min(self._replay.ceiling, wanted.last_id or self._replay.ceiling)
        return replace(
            wanted, ids=tuple(ids[:PAGE_MESSAGES]), last_id=ceiling, after_id=position, limit=limit, newest_first=False
        )

    # What would be made of it

    async def _judged(self, subjects: Sequence[Subject], older: _Older) -> list[PlannedItem]:
        if not subjects:
            return []
        kin = await self._kin(subjects)
        items: dict[int, list[PlannedItem]] = {subject.row.id: [] for subject in subjects}
        anew: list[Subject] = []
        for subject in subjects:
            rest = self._settle_at_once(subject, kin[subject.intent], items[subject.row.id])
            if rest is not None:
                anew.append(rest)
        for batch in _batches(anew):
            await self._make(batch, kin, older, items)
        return [item for found in items.values() for item in found]

    async def _kin(self, subjects: Sequence[Subject]) -> dict[int, tuple[DeliveryRow, ...]]:
        """All deliveries of each intent."""
        messages = await self._replays.kin(sorted({subject.intent for subject in subjects}))
        owner = {message_id: intent for intent, ids in messages.items() for message_id in ids}
        found: dict[int, list[DeliveryRow]] = {intent: [] for intent in messages}
        for row in await self._history.deliveries(sorted(owner)):
            found[owner[row.message_id]].append(row)
        return {intent: tuple(rows) for intent, rows in found.items()}

    def _settle_at_once(self, subject: Subject, kin: Sequence[DeliveryRow], items: list[PlannedItem]) -> Subject | None:
        """Judge what needs nothing made; what is left of the subject."""
        if subject.row.state is MessageState.RECEIVED:
            items.append(blocked(subject, "not-routed", "it is not routed yet, and goes by itself"))
            return None
        if subject.is_whole:
            return subject
        remake = []
        for letter in subject.letters:
            if not self._manner.way.covers(Way(letter.route, letter.destination)):
                continue
            if letter.made and not self._manner.makes_all_anew:
                items.append(as_made(subject, letter, kin, self._manner, self._makers.reachable()))
            else:
                remake.append(letter)
        return Subject(subject.row, tuple(remake), is_whole=False) if remake else None

    async def _make(
        self,
        subjects: Sequence[Subject],
        kin: Mapping[int, tuple[DeliveryRow, ...]],
        older: _Older,
        items: dict[int, list[PlannedItem]],
    ) -> None:
        """Have the configuration make them, and judge what it makes."""
        messages = {message.id: message for message in await self._history.messages([one.row.id for one in subjects])}
        by_generation: dict[int | None, list[Case]] = {}
        for subject in subjects:
            message = messages.get(subject.row.id)
            if message is None:
                text = "its body is not in the store any more"
                items[subject.row.id].append(blocked(subject, "body-removed", text))
                continue
            routes = {letter.route for letter in subject.letters}
            again = replace(
                message,
                replay_of=subject.intent,
                parent=subject.row.id,
                only_route=self._ask.route or (routes.pop() if len(routes) == 1 and not subject.is_whole else ""),
                only_destination=self._ask.to,
            )
            if self._manner.edited is not None:
                again = replace(again, body=self._manner.edited.body, keys=self._manner.edited.keys)
            case = Case(subject, kin[subject.intent], again)
            by_generation.setdefault(self._generation_of(case), []).append(case)
        for number, cases in by_generation.items():
            await self._make_by(number, cases, older, items)

    def _generation_of(self, case: Case) -> int | None:
        """The configuration to make it by: None is the live one, 0 one that is not known."""
        match self._ask.generation:
            case "now":
                return None
            case "then":
                return max((row.generation for row in case.own), default=0)
            case number:
                return number

    async def _make_by(
        self, number: int | None, cases: Sequence[Case], older: _Older, items: dict[int, list[PlannedItem]]
    ) -> None:
        try:
            rehearsal = self._makers.rehearsal() if number is None else await older.get(number)
        except (ControlError, PluginError) as error:
            for case in cases:
                items[case.subject.row.id].append(blocked(case.subject, "no-configuration", str(error)))
            return
        known = []
        for case in cases:
            refusal = _why_not_taken(case, rehearsal)
            if refusal is None:
                known.append(case)
            else:
                items[case.subject.row.id].append(refusal)
        judge = Judge(
            self._history,
            rehearsal,
            rehearsal.generation if number is None else number,
            self._makers.reachable(),
            self._manner,
        )
        handoffs = await rehearsal.hand_offs([case.message for case in known])
        for case, handoff in zip(known, handoffs, strict=True):
            items[case.subject.row.id] += await judge.items(case, handoff)


def _why_not_taken(case: Case, rehearsal: Rehearsal) -> PlannedItem | None:
    """The item of a message that a configuration cannot take at all."""
    channel = case.subject.row.channel
    form = rehearsal.format_of(channel)
    if form is None or not rehearsal.knows(channel):
        return blocked(case.subject, "no-channel", f"there is no channel {channel} in that configuration")
    try:
        form.peek(case.message.body)
    except FormatError as error:
        return blocked(case.subject, error.reason, f"it cannot be read: {error}; --edit mends it")
    return None


class _Older:
    """Configurations of other days, loaded while a plan is made."""

    def __init__(self, makers: Makers, stack: AsyncExitStack) -> None:
        self._makers = makers
        self._stack = stack
        self._loaded: dict[int, Rehearsal] = {}

    async def get(self, number: int) -> Rehearsal:
        if not number:
            raise ControlError("it is not known which configuration made it: name one, with --generation N or now")
        if number not in self._loaded:
            if len(self._loaded) >= OLDER_LOADED:
                self._loaded.clear()
                await self._stack.aclose()
            self._loaded[number] = await self._stack.enter_async_context(self._makers.older(number))
        return self._loaded[number]


def _batches(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    """Subjects in batches of bounded bodies; a single larger one goes alone."""
    batch: list[Subject] = []
    size = 0
    for subject in subjects:
        if batch and size + subject.row.bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(subject)
        size += subject.row.bytes
    if batch:
        yield batch

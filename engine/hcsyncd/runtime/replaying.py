"""Replays as the daemon keeps them: planned in the background, applied once, held, resumed, cancelled; taken up again
after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from hcsyncd.clock import Clock, isoformat
from hcsyncd.config.replays import ReplayOptions
from hcsyncd.errors import ControlError, FormatError, HcsyncdError, StoreError
from hcsyncd.events import (
    Event,
    ReplayApplied,
    ReplayCancelled,
    ReplayExpired,
    ReplayFailed,
    ReplayHeld,
    ReplayPlanned,
    ReplayResumed,
)
from hcsyncd.flow.pace import Window
from hcsyncd.flow.replay import ReplayRunner, Road, Terms
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.configurations import Configurations
from hcsyncd.runtime.rehearsal import Rehearsal, rehearse
from hcsyncd.runtime.replay_plan import PAGE_LETTERS, Makers, Planner, ReplayAsk
from hcsyncd.runtime.replay_verdict import Edited
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import Filter, History, NewReplay, ReplayRow, Replays, ReplayState, Tally, Turn, Verdict

KEEP_SECS = 60.0  # between looks for plans whose time is over
TIDY_BODIES = 200  # in one commit
TIDY_PAUSE_SECS = 0.05
STORE_RETRY_SECS = 1.0

decode_ask = msgspec.json.Decoder(ReplayAsk).decode


class LiveRoad(Road, Protocol):
    """The live road, with what it would make of stored messages."""

    def rehearsal(self) -> Rehearsal: ...


class Making:
    """What the live configuration and older ones would make of stored messages (`runtime.replay_plan.Makers`)."""

    def __init__(self, road: LiveRoad, pool: WorkerPool, configurations: Configurations, instance: str) -> None:
        self._road = road
        self._pool = pool
        self._configurations = configurations
        self._instance = instance

    def rehearsal(self) -> Rehearsal:
        return self._road.rehearsal()

    def reachable(self) -> frozenset[str]:
        return self._road.reachable()

    @asynccontextmanager
    async def older(self, number: int) -> AsyncIterator[Rehearsal]:
        async with (
            self._configurations.site_of(number) as site,
            rehearse(self._pool, site, self._instance) as rehearsal,
        ):
            yield rehearsal


class Replaying:
    """All replays of a daemon. Refusals are ControlErrors that come before anything is changed."""

    def __init__(
        self,
        stores: tuple[Replays, History],
        makers: Makers,
        road: Road,
        options: ReplayOptions,
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._replays, self._history = stores
        self._makers = makers
        self._road = road
        self._options = options
        self._emit = emit
        self._clock = clock
        self._runners: dict[int, ReplayRunner] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup

    # Life

    async def run(self) -> None:
        """Go on with what an earlier run left, and carry out what is asked for, until cancelled: then whatever is under
        way stays as it stands in the store. The destinations are in service by now."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for row in await self._rows(ReplayState.PLANNING):
                group.create_task(self._plan(row, None), name=f"plan replay {row.id}")
            for row in await self._rows(ReplayState.RUNNING):
                self._begin(row)
            await self._keep()

    async def _rows(self, state: ReplayState) -> list[ReplayRow]:
        while True:
            try:
                return await self._replays.in_state(state)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself

    async def _keep(self) -> None:
        """Let plans expire, and remove the bodies that were made for plans and never sent."""
        while True:
            tidied = 0
            with contextlib.suppress(StoreError):  # the store has said so itself
                for replay_id in await self._replays.expire():
                    self._emit(ReplayExpired(replay_id))
                tidied = await self._replays.tidy(TIDY_BODIES)
            await asyncio.sleep(TIDY_PAUSE_SECS if tidied else KEEP_SECS)

    # What a person asks for

    async def plan(self, ask: ReplayAsk, author: str) -> int:
        """Plan in the background; the number of the replay."""
        try:
            Window.parse(ask.window)
        except ValueError as error:
            raise ControlError(str(error)) from error
        self._check_names(ask)
        await self._check_messages(ask)
        edited = await self._edited(ask)
        new = NewReplay(
            author=author,
            reason=ask.reason,
            asked=msgspec.json.encode(replace(ask, body=None)).decode(),
            body=edited.body if edited else None,
            keys=edited.keys if edited else None,
        )
        row = await self._row(await self._replays.begin(new))
        self._group.create_task(self._plan(row, edited))
        return row.id

    async def apply(self, replay_id: int, digest: str, user: str) -> ReplayRow:
        """Let a plan go, once. With ``digest``, only that very plan."""
        row = await self._row(replay_id)
        turn = await self._replays.apply(replay_id, user, digest or row.digest)
        if not turn.made:
            raise ControlError(self._why_not_applied(turn.replay, digest))
        self._emit(ReplayApplied(replay_id, user))
        self._begin(turn.replay)
        return turn.replay

    async def hold(self, replay_id: int, reason: str, user: str) -> ReplayRow:
        note = f"held by {user}" + (f": {reason}" if reason else "")
        turn = _made(await self._replays.hold((await self._row(replay_id)).id, note), "only one that runs can be held")
        self._emit(ReplayHeld(replay_id, note))
        self._wake(replay_id)
        return turn.replay

    async def resume(self, replay_id: int) -> ReplayRow:
        row = await self._row(replay_id)
        running = self._runs.get(replay_id)
        if running is not None and row.state is ReplayState.HELD:
            await asyncio.wait([running])  # it is about to see that it is held: never two at once
        turn = _made(await self._replays.resume(replay_id), "only one that is held can go on")
        self._emit(ReplayResumed(replay_id))
        self._begin(turn.replay)
        return turn.replay

    async def cancel(self, replay_id: int, reason: str, user: str) -> ReplayRow:
        """Give a replay up; what it has sent stays sent."""
        note = f"cancelled by {user}" + (f": {reason}" if reason else "")
        turn = _made(await self._replays.cancel((await self._row(replay_id)).id, note), "it is over already")
        self._emit(ReplayCancelled(replay_id, note))
        self._wake(replay_id)
        return turn.replay

    def waits_for(self, replay_id: int) -> str:
        """Why a running replay does nothing now; "" when it does."""
        runner = self._runners.get(replay_id)
        return runner.waits_for if runner else ""

    def _wake(self, replay_id: int) -> None:
        if runner := self._runners.get(replay_id):
            runner.wake()

    async def _row(self, replay_id: int) -> ReplayRow:
        row = await self._replays.row(replay_id)
        if row is None:
            raise ControlError(f"there is no replay {replay_id}")
        return row

    def _why_not_applied(self, row: ReplayRow, digest: str) -> str:
        if row.state is ReplayState.PLANNED and row.expires_at <= self._clock.now():
            return f"replay {row.id} was planned too long ago: plan it again"
        if row.state is ReplayState.PLANNED and digest and row.digest != digest:
            return f"replay {row.id} is not the plan with digest {digest[:12]}: look at it again"
        if row.applied_at:
            return f"replay {row.id} was applied already, on {isoformat(row.applied_at)} by {row.applied_by}"
        return f"replay {row.id} is {row.state}: only one that is planned can be applied"

    # Checked before a plan is begun

    def _check_names(self, ask: ReplayAsk) -> None:
        if not ask.dead and ask.wanted == Selection():
            raise ControlError("say which messages are meant: their ids, or a filter")
        if ask.generation != "now":
            return
        routes = self._makers.rehearsal().routes()
        _refuse_unknown("route", ask.route, routes)
        reached = routes[ask.route] if ask.route else [name for names in routes.values() for name in names]
        _refuse_unknown("destination", ask.to, reached)

    async def _check_messages(self, ask: ReplayAsk) -> None:
        """Ids that a person named must be there; a filter may find nothing."""
        ids = ask.wanted.ids
        if not ids:
            return
        if ask.dead:
            wanted = replace(ask.wanted.filter(), limit=len(ids) * PAGE_LETTERS)
            found = {letter.message.id for letter in await self._history.dead(wanted)}
            narrowed = " on that way" if ask.wanted.route or ask.wanted.destination else ""
            _refuse_missing(f"no dead letter{narrowed} of message", ids, found)
        else:
            rows = await self._history.find(Filter(ids=ids, limit=len(ids)))
            _refuse_missing("there is no message", ids, {row.id for row in rows})

    async def _edited(self, ask: ReplayAsk) -> Edited | None:
        if ask.body is None:
            return None
        ids = sorted(set(ask.wanted.ids))
        if len(ids) != 1:
            raise ControlError(f"an edited body stands in for one message, named by its id, not for {len(ids)}")
        row = await self._history.message(ids[0])
        form = self._makers.rehearsal().format_of(row.channel) if row else None
        if row is None or form is None:
            raise ControlError(f"there is no channel {row.channel if row else ''} any more that could read the body")
        try:
            return Edited(ask.body, form.peek(ask.body).keys)
        except FormatError as error:
            raise ControlError(f"the edited body cannot be read as {form.name}: {error}") from error

    # In the background

    async def _plan(self, row: ReplayRow, edited: Edited | None) -> None:
        ask = decode_ask(row.asked)
        if row.keys is not None and edited is None:
            text = "the daemon ended while an edited message was planned: plan it again"
            await self._give_up(row.id, self._replays.fail, text)
            return
        while True:
            try:
                planner = Planner(row, ask, edited, self._stores, self._makers, self._options.expire_secs)
                row = await planner.run()
                if row.state is ReplayState.PLANNED:
                    self._emit(planned(row, await self._replays.tallies(row.id)))
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
                with contextlib.suppress(StoreError):
                    row = await self._row(row.id)
            except Exception as error:  # a plan that cannot be made must not stop the daemon
                await self._give_up(row.id, self._replays.fail, _defect(error))
                return
            else:
                return

    def _begin(self, row: ReplayRow) -> None:
        self._runs[row.id] = self._group.create_task(self._run(row), name=f"replay {row.id}")

    async def _run(self, row: ReplayRow) -> None:
        ask = decode_ask(row.asked)
        terms = Terms(ask.rate, Window.parse(ask.window), ask.again, self._options.under_way)
        runner = ReplayRunner(row, terms, self._stores, self._road, self._emit, self._clock)
        self._runners[row.id] = runner
        try:
            await runner.run()
        except Exception as error:  # as above; a person decides whether it goes on
            await self._give_up(row.id, self._replays.hold, _defect(error))
        finally:
            del self._runners[row.id], self._runs[row.id]

    async def _give_up(self, replay_id: int, change: Callable[[int, str], asyncio.Future[Turn]], note: str) -> None:
        self._emit(ReplayFailed(replay_id, note))
        with contextlib.suppress(StoreError):  # then it is taken up again at the next start
            await change(replay_id, note)


def planned(row: ReplayRow, tallies: Iterable[Tally]) -> ReplayPlanned:
    """A plan in numbers."""
    counts = Counter[Verdict]()
    for tally in tallies:
        counts[tally.verdict] += tally.count
    return ReplayPlanned(
        row.id,
        row.author,
        counts[Verdict.SEND] + counts[Verdict.CHANGED],
        counts[Verdict.CHANGED],
        counts[Verdict.SUPPRESSED],
        counts[Verdict.BLOCKED],
    )


def _made(turn: Turn, otherwise: str) -> Turn:
    if not turn.made:
        raise ControlError(f"replay {turn.replay.id} is {turn.replay.state}: {otherwise}")
    return turn


def _defect(error: Exception) -> str:
    """Why it did not go on: an error of ours is told by its place, as its text might hold data."""
    if isinstance(error, HcsyncdError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


def _refuse_missing(text: str, ids: Iterable[int], found: Iterable[int]) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        more = f" and {len(missing) - 10} others" if len(missing) > 10 else ""
        raise ControlError(f"{text} {', '.join(map(str, missing[:10]))}{more}")


def _refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    if name and name not in known:
        raise ControlError(f"there is no {what} {name}; known: {', '.join(sorted(set(known))) or 'none'}")

"""The cases that stand beside a channel, run: one harness for ``hcsyncd test`` and for pytest.

A case's message goes the way of every message, through peek, routes and a worker process, and stops where the store
would take over. Nothing is listened on, stored or sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hcsyncd.config.cases import Case
from hcsyncd.config.model import Acknowledge, Site
from hcsyncd.errors import FormatError, Reject
from hcsyncd.events import Event
from hcsyncd.flow.transform import Plan, Transformer
from hcsyncd.formats.format import Answer, Format, Peek, Verdict
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.difference import Leaving, differences, shown
from hcsyncd.runtime.site import Generation, build_generation, transform_sources
from hcsyncd.store.ports import Handoff, NewDelivery

ARRIVED_AT = (
    1_767_225_600_000_000  # 2026-01-01T00:00:00Z: every case's message arrives then, so that a re-run is the same
)
MESSAGE_ID = 1  # of every case: it does not matter which others are run beside it


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case. ``problems`` are sentences for a person; a case without any has passed."""

    case: Case
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        place = f"{self.case.file}:{self.case.line}:{self.case.column}"
        if self.passed:
            return f"{place} passed: {self.case.name}"
        return "\n".join([f"{place} failed: {self.case.name}", *(f"  {problem}" for problem in self.problems)])


def run_cases(site: Site, cases: Sequence[Case]) -> list[CaseResult]:
    """Run cases, in order, on a site without errors. Raises PluginError when no worker process comes up. Blocks."""
    return asyncio.run(judge(site, cases))


async def judge(site: Site, cases: Sequence[Case]) -> list[CaseResult]:
    """As `run_cases`, within an event loop."""
    generation = build_generation(1, site)
    outcomes = await _outcomes(generation, [_Read.of(case, generation) for case in cases])
    return [CaseResult(outcome.read.case, tuple(_problems(outcome, generation))) for outcome in outcomes]


@dataclass(frozen=True, slots=True)
class _Read:
    """A case's message, as intake sees it."""

    case: Case
    peek: Peek | FormatError

    @classmethod
    def of(cls, case: Case, generation: Generation) -> _Read:
        try:
            return cls(case, generation.formats[case.channel].peek(case.message))
        except FormatError as error:
            return cls(case, error)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a case's message."""

    read: _Read
    handoff: Handoff


async def _outcomes(generation: Generation, reads: Sequence[_Read]) -> list[_Outcome]:
    site = generation.site
    workers = site.daemon.workers
    pool = WorkerPool(1, workers.time_limit_secs, workers.memory_limit_bytes, _unheard)
    formats = {
        name: (channel.format.kind, channel.format.options.model_dump(mode="json"))
        for name, channel in site.channels.items()
        if channel.source
    }
    await pool.start()
    try:
        await pool.load(generation.number, transform_sources(site), site.tables, formats)
        transformer = Transformer(pool)
        plan = Plan(generation.number, "cases", generation.routes, site.channels, generation.formats)
        return [_Outcome(read, await _handoff(transformer, plan, read)) for read in reads]
    finally:
        await pool.stop()


async def _handoff(transformer: Transformer, plan: Plan, read: _Read) -> Handoff:
    if isinstance(read.peek, FormatError):
        return Handoff(MESSAGE_ID, MessageState.DEAD, cause=read.peek.reason, text=str(read.peek))
    message = Message(
        id=MESSAGE_ID,
        channel=read.case.channel,
        received_at=ARRIVED_AT,
        keys=read.peek.keys,
        body=read.case.message,
        trace=MESSAGE_ID,
        only_route=read.case.route,
    )
    return (await transformer.hand_offs(plan, [message]))[0]


def _unheard(_event: Event) -> None:
    """What happens to a worker shows in the case's own outcome."""


def _problems(outcome: _Outcome, generation: Generation) -> Iterator[str]:
    """Everything in which a message's outcome is not what its case expects."""
    case, handoff = outcome.read.case, outcome.handoff
    if case.expect is not None:
        yield from _expectation_problems(outcome, generation)
    elif case.dropped is not None:
        yield from _dropped_problems(case.dropped, handoff, generation)
    elif case.rejected is not None:
        yield from _rejected_problems(case.rejected, handoff)
    elif case.failed is not None:
        yield from _failed_problems(case.failed, handoff)
    elif case.parked is not None:
        yield from _parked_problems(case.parked, handoff)
    elif case.unrouted and handoff.state is not MessageState.UNROUTED:
        yield f"expected that no route wants it, but {_said(handoff)}"
    if case.acknowledge:
        found = _acknowledgement(outcome, generation)
        if found != case.acknowledge:
            yield f"acknowledged with {found or 'nothing'}, expected {case.acknowledge}"


def _dropped_problems(pattern: str, handoff: Handoff, generation: Generation) -> Iterator[str]:
    if handoff.state is not MessageState.FILTERED:
        yield f"expected to be dropped, but {_said(handoff)}"
    for reason in drop_reasons(handoff, generation):
        if not fnmatchcase(reason, pattern):
            yield f"dropped for {reason!r}, expected {pattern!r}"


def _rejected_problems(pattern: str, handoff: Handoff) -> Iterator[str]:
    reasons = [one.text for one in _failures(handoff) if one.cause == Reject.code]
    if not reasons:
        yield f"expected to be rejected, but {_said(handoff)}"
    elif not any(fnmatchcase(reason, pattern) for reason in reasons):
        yield f"rejected for {'; '.join(map(repr, reasons))}, expected {pattern!r}"


def _failed_problems(cause: str, handoff: Handoff) -> Iterator[str]:
    causes = {handoff.cause} if handoff.state is MessageState.DEAD else {one.cause for one in _failures(handoff)}
    if cause not in causes:
        yield f"expected to fail with {cause}, but {_said(handoff)}"


def _parked_problems(pattern: str, handoff: Handoff) -> Iterator[str]:
    codes = [f"{one.unmapped.table}/{one.unmapped.code}" for one in handoff.deliveries if one.unmapped]
    if not codes:
        yield f"expected to wait for a mapping, but {_said(handoff)}"
    elif not any(fnmatchcase(code, pattern) for code in codes):
        yield f"waits for {', '.join(dict.fromkeys(codes))}, expected {pattern}"


def _expectation_problems(outcome: _Outcome, generation: Generation) -> Iterator[str]:
    """Compare, for each destination, the envelopes that leave with those expected, in their order."""
    case, handoff = outcome.read.case, outcome.handoff
    if _failures(handoff) or handoff.state is MessageState.DEAD:
        yield _said(handoff)
    leaving = [
        Leaving(one.destination, case.message if one.body is None else one.body)
        for one in handoff.deliveries
        if one.state is DeliveryState.READY
    ]
    expected = case.expect or ()
    for to in dict.fromkeys([*(one.to for one in expected), *(one.to for one in leaving)]):
        wanted = [one for one in expected if one.to == to]
        found = [one for one in leaving if one.to == to]
        if len(wanted) != len(found):
            bodies = "".join(f"; {shown(one.body)}" for one in found[len(wanted) :])
            yield f"{to}: {len(found)} leave, expected {len(wanted)}{bodies}"
        for one, other in zip(wanted, found, strict=False):
            yield from differences(one, other, generation.formats[to])


def _failures(handoff: Handoff) -> list[NewDelivery]:
    """What a route could not make: dead letters, and what waits for a mapping."""
    return [one for one in handoff.deliveries if one.state is not DeliveryState.READY]


def _said(handoff: Handoff) -> str:
    """What became of a message, for a person."""
    match handoff.state:
        case MessageState.UNROUTED:
            return "no route wanted it"
        case MessageState.FILTERED:
            return f"it was dropped ({handoff.text})"
        case MessageState.DEAD:
            return f"it failed with {handoff.cause}: {handoff.text}"
        case _:
            pass
    failures = dict.fromkeys(f"route {one.route} failed with {one.cause}: {one.text}" for one in _failures(handoff))
    return (
        "; ".join(failures) or f"it went to {', '.join(dict.fromkeys(one.destination for one in handoff.deliveries))}"
    )


def drop_reasons(handoff: Handoff, generation: Generation) -> list[str]:
    """The reasons alone; the hand-off names the route before each: ``route: reason; route: reason``."""
    if handoff.state is not MessageState.FILTERED:
        return []
    names = "|".join(re.escape(route.name) for route in generation.site.routes)
    return re.split(rf"(?:^|; )(?:{names}): ", handoff.text)[1:]


def _acknowledgement(outcome: _Outcome, generation: Generation) -> str:
    """MSA-1 of what the sender gets: the code of the commit acknowledgement where one is asked for by the case (C.),
    else that of the application acknowledgement (HL7 v2.5.1 §2.9.2, §2.9.3)."""
    case, peek = outcome.read.case, outcome.read.peek
    channel_format = generation.formats[case.channel]
    if isinstance(peek, FormatError):
        answer = Answer(Verdict.REJECT, ARRIVED_AT, "1", str(peek))
        return _code_of(channel_format.refusal(case.message, peek, answer), channel_format)
    accepted = Answer(Verdict.ACCEPT, ARRIVED_AT, "1")
    if case.acknowledge.startswith("C"):
        return _code_of(peek.accept_reply(accepted), channel_format)
    decided_at_once = generation.site.channels[case.channel].options.acknowledge is Acknowledge.STORED
    is_dead = outcome.handoff.state is MessageState.DEAD
    is_dead = is_dead or any(one.state is DeliveryState.DEAD for one in outcome.handoff.deliveries)
    bad = not decided_at_once and is_dead
    answer = Answer(Verdict.ERROR, ARRIVED_AT, "1") if bad else accepted
    return _code_of(peek.application_reply(answer), channel_format)


def _code_of(reply: bytes, its_format: Format) -> str:
    return (its_format.parse(reply).get("MSA-1") or "") if reply else ""

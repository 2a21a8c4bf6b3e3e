"""From stored messages to what is handed on: routes asked, transforms run in the worker processes.

Pure but for the workers' pipe: a re-run after a crash gives the same hand-offs, idempotency keys included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from hcsyncd.config.model import Channel, RouteOptions
from hcsyncd.errors import FormatError
from hcsyncd.flow.keys import KeyReader
from hcsyncd.flow.route import Routes, Subject
from hcsyncd.formats.format import Format
from hcsyncd.message import NAME_HEADER, BusinessKeys, DeliveryState, Message, MessageState
from hcsyncd.plugins.job import Dropped, Failed, Job, Made, MadeOut, Passed, Step, StepResult
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.store.ports import Handoff, NewDelivery, Unmapped


@dataclass(frozen=True, slots=True)
class Plan:
    """What a processor needs to know of the live generation. Replaced as a whole by a reload."""

    generation: int
    instance: str  # the store's name: idempotency keys of two stores never collide
    routes: Routes
    channels: Mapping[str, Channel]
    formats: Mapping[str, Format]
    now: Callable[[], int] = lambda: 0  # 0: deliveries are dated by their commit
    keys: Mapping[str, KeyReader] = field(default_factory=dict)  # of the destinations that declare business keys

    def keys_of(self, destination: str, body: bytes) -> BusinessKeys:
        """What a destination's messages are found by, in this one; () where it declares nothing."""
        reader = self.keys.get(destination)
        return reader.read(body) if reader else ()


@dataclass(frozen=True, slots=True)
class Routed:
    """A message, the routes that want it, and what each of them needs a worker for."""

    subject: Subject
    steps: tuple[Step, ...]


class Transformer:
    """Turns messages of one source channel into hand-offs, in their order."""

    def __init__(self, pool: WorkerPool, *, background: bool = False) -> None:
        """In the ``background``, live messages go first."""
        self._pool = pool
        self._background = background

    async def hand_offs(self, plan: Plan, messages: Sequence[Message]) -> list[Handoff]:
        """One hand-off for each message, in order. Never fails for what a message holds: that makes a dead letter."""
        routed = [self._route(plan, message) for message in messages]
        results = await self._run(plan, [one for one in routed if isinstance(one, Routed)])
        return [
            one if isinstance(one, Handoff) else self._hand_off(plan, one, results[one.subject.message.id])
            for one in routed
        ]

    def _route(self, plan: Plan, message: Message) -> Routed | Handoff:
        subject = Subject(message, plan.formats[message.channel].parse)
        try:
            routes = plan.routes.matching(subject)
        except FormatError as error:
            return Handoff(message.id, MessageState.DEAD, cause=error.reason, text=str(error))
        if not routes:
            return Handoff(message.id, MessageState.UNROUTED)
        steps = (_step(route.options) for route in routes)
        return Routed(subject, tuple(steps))

    async def _run(self, plan: Plan, routed: Sequence[Routed]) -> Mapping[int, tuple[StepResult, ...]]:
        """The results by message id. A message whose steps need no worker has its results at once."""
        jobs = []
        results: dict[int, tuple[StepResult, ...]] = {}
        for one in routed:
            message = one.subject.message
            if any(step.runs_code for step in one.steps):
                jobs.append(Job.of(message, one.steps))
            else:
                results[message.id] = tuple(Passed() for _ in one.steps)
        if jobs:
            found = await self._pool.run(plan.generation, jobs, background=self._background)
            for job, result in zip(jobs, found, strict=True):
                results[job.message_id] = result
        return results

    def _hand_off(self, plan: Plan, routed: Routed, results: tuple[StepResult, ...]) -> Handoff:
        message = routed.subject.message
        deliveries: list[NewDelivery] = []
        dropped: list[str] = []
        try:
            for step, result in zip(routed.steps, results, strict=True):
                if isinstance(result, Dropped):
                    dropped.append(f"{step.route}: {result.reason}")
                else:
                    deliveries += _deliveries(plan, routed.subject, step, result)
        except FormatError as error:  # a lane path met a body that cannot be parsed
            return Handoff(message.id, MessageState.DEAD, cause=error.reason, text=str(error))
        if deliveries:
            return Handoff(message.id, MessageState.ROUTED, tuple(deliveries))
        return Handoff(message.id, MessageState.FILTERED, cause="filtered", text="; ".join(dropped))


def _step(route: RouteOptions) -> Step:
    return Step(route.name, route.filter, route.transform, tuple(route.to))


def _deliveries(plan: Plan, subject: Subject, step: Step, result: Passed | Made | Failed) -> Iterator[NewDelivery]:
    """What one route hands on. A failed route leaves one dead letter for each of its destinations; one whose lookup
    found no entry leaves one parked delivery for each."""
    message = subject.message
    route = plan.routes.named(step.route)
    for destination in plan.routes.destinations(route, message):
        lane = plan.routes.lane(route, destination, subject)
        key = f"{plan.instance}-{message.intent}-{step.route}-{destination}"
        match result:
            case Passed():
                yield NewDelivery(
                    route=step.route,
                    destination=destination,
                    lane=lane,
                    content_type=plan.formats[message.channel].content_type,
                    key=key,
                    type=message.keys.type,
                    control_id=message.keys.control_id,
                    created_at=plan.now(),
                    generation=plan.generation,
                    business_keys=plan.keys_of(destination, message.body),
                )
            case Failed():
                yield NewDelivery(
                    route=step.route,
                    destination=destination,
                    lane=lane,
                    content_type="",
                    key=key,
                    created_at=plan.now(),
                    generation=plan.generation,
                    state=DeliveryState.PARKED if result.table else DeliveryState.DEAD,
                    cause=result.cause,
                    text=result.text,
                    unmapped=Unmapped(result.table, result.missing) if result.table else None,
                )
            case Made():
                outs = (out for out in result.outs if out.to in ("", destination))
                for number, out in enumerate(outs):
                    yield _made(plan, step.route, destination, lane, f"{key}-{number}" if number else key, out)
            case _:
                assert_never(result)


def _made(plan: Plan, route: str, destination: str, lane: str, key: str, out: MadeOut) -> NewDelivery:
    format_ = plan.formats.get(destination)
    return NewDelivery(
        route=route,
        destination=destination,
        lane=out.lane or lane,
        content_type=out.content_type or (format_.content_type if format_ else ""),
        key=key,
        body=out.body,
        type=out.type,
        control_id=out.control_id,
        created_at=plan.now(),
        generation=plan.generation,
        headers={**out.headers, NAME_HEADER: out.name} if out.name else out.headers,
        business_keys=plan.keys_of(destination, out.body),
    )

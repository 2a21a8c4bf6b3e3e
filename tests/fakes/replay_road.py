"""The live road as replays see it: real routes without transforms, and destinations that take what they are offered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hcsyncd.config.model import Channel, ChannelOptions, Part, Route, RouteOptions
from hcsyncd.errors import ControlError
from hcsyncd.flow.route import Routes
from hcsyncd.flow.transform import Plan
from hcsyncd.formats.hl7.format import Hl7Format, Hl7Options
from hcsyncd.message import Delivery, DeliveryState
from hcsyncd.options import Options
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.store.ports import Outcome
from hcsyncd.store.store import Store

SOURCE = "adt_in"
HL7 = Part("hl7", Hl7Options())


class ScriptedRoad:
    """Also the planner's makers. ``known`` are the routes with their destinations, all from `SOURCE`; ``outcomes`` says
    how a destination's deliveries end: sent, where it says nothing, and never, where it says None."""

    def __init__(self, store: Store, known: Mapping[str, Sequence[str]]) -> None:
        self.known = known
        self.outcomes: dict[str, DeliveryState | None] = {}
        self.offered: list[Delivery] = []
        self.requeued: list[Delivery] = []
        self.released: list[tuple[str, str, int]] = []
        self.generation = 3
        self.defect: Exception | None = None  # what the road fails with
        self._store = store
        self._pool = WorkerPool(1, 1.0, 0, lambda _event: None)
        self._settling: set[asyncio.Future[Any]] = set()

    def reachable(self) -> frozenset[str]:
        if self.defect:
            raise self.defect
        return frozenset(name for names in self.known.values() for name in names)

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self.offered.append(delivery)
            self._settle(delivery)

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self.requeued.append(delivery)
            self._settle(delivery)

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        self.released.append((destination, lane, delivery_id))

    def rehearsal(self) -> Rehearsal:
        names = sorted(self.reachable())
        channels = {name: _channel(name, destination=Part("mllp", Options())) for name in names}
        channels[SOURCE] = _channel(SOURCE, source=Part("mllp", Options()))
        routes = [
            Route(RouteOptions.model_validate({"name": name, "from": SOURCE, "to": list(to)}), Path("routes.yaml"), 1)
            for name, to in self.known.items()
        ]
        formats = {name: Hl7Format(Hl7Options()) for name in channels}
        plan = Plan(self.generation, self._store.name, Routes(routes, channels), channels, formats)
        return Rehearsal(self._pool, plan)

    @asynccontextmanager
    async def older(self, number: int) -> AsyncIterator[Rehearsal]:
        if number != self.generation:
            raise ControlError(f"there is no generation {number}")
        yield self.rehearsal()

    def _settle(self, delivery: Delivery) -> None:
        state = self.outcomes.get(delivery.destination, DeliveryState.SENT)
        if state is None:
            return
        at = delivery.created_at
        cause = "" if state is DeliveryState.SENT else "ack-AR"
        outcome = Outcome(delivery.id, delivery.message_id, state, 1, at, at, cause=cause)
        future = self._store.outbox.settle(outcome)
        self._settling.add(future)
        future.add_done_callback(self._settling.discard)


def _channel(name: str, **parts: Part) -> Channel:
    return Channel(name, Path(f"channels/{name}.yaml"), HL7, ChannelOptions(), **parts)

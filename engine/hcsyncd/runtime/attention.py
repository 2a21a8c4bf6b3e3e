"""What needs people: dead letters, unsure deliveries, codes without a mapping. One object for the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from hcsyncd.clock import Clock
from hcsyncd.config.model import Site
from hcsyncd.events import Event
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.arrears import ArrearsWatch
from hcsyncd.runtime.dead_groups import DeadGroups
from hcsyncd.runtime.node import Node
from hcsyncd.runtime.unparking import Unparking
from hcsyncd.runtime.unsure import Settlement
from hcsyncd.runtime.verb import Verbs
from hcsyncd.runtime.verbs.configuration import Changer
from hcsyncd.runtime.verbs.dead_groups import DeadGroupVerbs
from hcsyncd.runtime.verbs.holds import HoldVerbs
from hcsyncd.runtime.verbs.tasks import TaskVerbs
from hcsyncd.runtime.verbs.unsure import UnsureVerbs
from hcsyncd.store.store import Store


class Attention:
    """``changing`` is the lock of reloads."""

    def __init__(
        self,
        store: Store,
        node: Node,
        pool: WorkerPool,
        emit: Callable[[Event], None],
        clock: Clock,
        changing: asyncio.Lock,
    ) -> None:
        self._store = store
        self._node = node
        self._emit = emit
        self._clock = clock
        self.unparking = Unparking(store, node, pool, emit, clock, changing)
        self.arrears = ArrearsWatch(store.tasks, node.generation.site.daemon, clock)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs beside the road, once it is started."""
        return self.unparking.run(), self.arrears.run()

    def verbs(self, changer: Changer) -> Verbs:
        """The operators' commands; ``changer`` puts an entered mapping to work."""
        store = self._store
        groups = DeadGroups(store.history, store.tasks, self._site, self._emit, self._clock)
        settlement = Settlement(store.history, store.doubts, self._node, self._emit, self._clock)
        tasks = TaskVerbs((store.tasks, store.history), self.unparking, changer, self._site, self._emit, self._clock)
        return {
            **HoldVerbs(self._node.holding, self._node).verbs(),
            **DeadGroupVerbs(groups).verbs(),
            **UnsureVerbs(groups, settlement).verbs(),
            **tasks.verbs(),
        }

    def readings(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        """The gauges, by metric name and label values."""
        return self.arrears.readings()

    def _site(self) -> Site:
        return self._node.generation.site

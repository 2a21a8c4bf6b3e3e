"""Replays: planned item by item, applied as planned, told about afterwards."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from hcsyncd.message import Delivery, DeliveryState, Keys
from hcsyncd.record import Record
from hcsyncd.store.ports.outbox import NewDelivery


class ReplayState(StrEnum):
    """Where a replay stands."""

    PLANNING = "planning"
    PLANNED = "planned"  # nothing is done until a person applies it
    RUNNING = "running"
    HELD = "held"
    DONE = "done"  # every item has an outcome, and nothing of it is under way
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # planned, and not applied in time
    FAILED = "failed"  # could not be planned


OPEN_REPLAY_STATES = frozenset({ReplayState.PLANNING, ReplayState.PLANNED, ReplayState.RUNNING, ReplayState.HELD})


class Verdict(StrEnum):
    """What a plan says would happen to one way of one message."""

    SEND = "send"
    CHANGED = "changed"  # sent, and it is not what was made then
    SUPPRESSED = "suppressed"  # its idempotency key was sent before
    BLOCKED = "blocked"


class ItemState(StrEnum):
    """What came of it."""

    PENDING = "pending"
    APPLIED = "applied"  # on the road; the delivery says the rest
    SUPPRESSED = "suppressed"
    BLOCKED = "blocked"


class BodySource(StrEnum):
    """Where the body of what is made anew lies already."""

    MESSAGE = "message"
    EARLIER = "earlier"  # the delivery that it was compared with has the same
    EDITED = "edited"  # a person's own
    MADE = "made"  # nowhere: it is kept with the plan


class NewReplay(Record, frozen=True):
    """A replay to be planned. ``body`` stands in for the one message's own, and ``keys`` are what it says."""

    author: str
    reason: str
    asked: str  # JSON
    body: bytes | None = None
    keys: Keys | None = None


class PlannedItem(Record, frozen=True):
    """One way of one message, judged. ``made`` is the delivery to be made anew; its ``body`` is given where
    ``body_source`` is MADE alone. With ``as_made``, the delivery ``stands_for`` goes again as it is."""

    message_id: int
    intent: int
    verdict: Verdict
    route: str
    destination: str
    cause: str = ""
    text: str = ""
    key: str = ""
    earlier_id: int | None = None
    stands_for: int | None = None  # 0: the dead message itself
    as_made: bool = False
    made: NewDelivery | None = None
    body_source: BodySource = BodySource.MESSAGE
    body_digest: str = ""  # SHA-256 of the body, as hexadecimal


class PlannedPage(Record, frozen=True):
    """The next items of a plan, up to the message ``position`` and with it."""

    replay_id: int
    position: int
    items: Sequence[PlannedItem]
    is_last: bool
    expire_secs: float = 0.0  # with the last page: how long the plan may be applied


class ReplayRow(Record, frozen=True):
    """A replay as it is listed. Times are 0 until they come."""

    id: int
    state: ReplayState
    author: str
    reason: str
    asked: str  # JSON
    created_at: int
    planned_at: int
    expires_at: int
    applied_at: int
    applied_by: str
    ended_at: int
    ceiling: int
    position: int
    digest: str
    note: str
    edited_bytes: int  # of a person's own body; 0: none
    keys: Keys | None


class Turn(Record, frozen=True):
    """The answer to a change of state: whether it was made, and the replay as it stands after it."""

    made: bool
    replay: ReplayRow


class ItemRow(Record, frozen=True):
    """An item as it is listed: no body."""

    id: int
    message_id: int
    route: str
    destination: str
    verdict: Verdict
    state: ItemState
    cause: str
    text: str
    earlier_id: int | None
    as_made: bool
    generation: int
    key: str
    bytes: int
    copy_id: int | None
    delivery_id: int | None
    delivery_state: DeliveryState | None
    applied_at: int


class Tally(Record, frozen=True):
    """How many items of a replay have this verdict and stand so."""

    verdict: Verdict
    state: ItemState
    delivery_state: DeliveryState | None
    count: int


class Link(Record, frozen=True):
    """A message and a replay that has it, as the original or as the copy."""

    replay_id: int
    message_id: int
    copy_id: int | None
    state: ReplayState


class Step(Record, frozen=True):
    """What a running replay may do next. ``room`` says for each destination of the replay how many more deliveries it
    may be given; those without any are left for later, and do not hold up the others. ``in_line`` are the destinations
    that hold copies of this replay that are not settled: a delivery that goes as it was made would overtake them."""

    replay_id: int
    room: Mapping[str, int]
    reachable: frozenset[str]
    in_line: frozenset[str]
    messages: int
    again: bool = False  # also what was sent before under the same key


class Closed(Record, frozen=True):
    """A dead letter that a replay stands in for."""

    delivery_id: int
    message_id: int
    destination: str


class Applied(Record, frozen=True):
    """What one step did. ``made`` is in the order of ids, as the dispatchers want it."""

    state: ReplayState
    made: Sequence[Delivery] = ()
    reopened: Sequence[Delivery] = ()
    copies: Sequence[tuple[int, int]] = ()  # (original, copy)
    closed: Sequence[Closed] = ()
    judged: int = 0  # items that have an outcome now
    has_more: bool = False  # items are pending


class Replays(Protocol):
    """Used by the planner, the runner and the operator's commands. Each call that returns a Future is one commit."""

    def begin(self, new: NewReplay) -> Future[int]:
        """A replay in state planning; its number."""
        ...

    def add(self, page: PlannedPage) -> Future[Turn]:
        """Keep a page of a plan, and say where its digest stands; not made when it is planned no longer. An item whose
        message another open replay has in hand is blocked, whatever it says."""
        ...

    def apply(self, replay_id: int, by: str, digest: str) -> Future[Turn]:
        """From planned to running, once. Not made for another digest than the plan's, or after it expired."""
        ...

    def hold(self, replay_id: int, note: str) -> Future[Turn]: ...

    def resume(self, replay_id: int) -> Future[Turn]: ...

    def cancel(self, replay_id: int, note: str) -> Future[Turn]: ...

    def fail(self, replay_id: int, note: str) -> Future[Turn]: ...

    def finish(self, replay_id: int) -> Future[Turn]: ...

    def expire(self) -> Future[list[int]]:
        """Plans whose time is over become expired; their numbers."""
        ...

    def tidy(self, limit: int) -> Future[int]:
        """Remove bodies of ended replays that were never sent, at most so many; how many there were."""
        ...

    def step(self, step: Step) -> Future[Applied]:
        """Put the next messages on the road: the copy with its deliveries, what it stands in for closed, and its items
        marked, in one commit. Each item is judged anew: what was sent, settled or taken away meanwhile is left out."""
        ...

    async def rows(self, before: int = 0, limit: int = 100) -> list[ReplayRow]:
        """The newest first, below number ``before`` where it is given."""
        ...

    async def row(self, replay_id: int) -> ReplayRow | None: ...

    async def in_state(self, state: ReplayState) -> list[ReplayRow]: ...

    async def items(self, replay_id: int, after_id: int, limit: int) -> list[ItemRow]: ...

    async def tallies(self, replay_id: int) -> list[Tally]: ...

    async def destinations(self, replay_id: int) -> list[str]: ...

    async def under_way(self, replay_id: int) -> list[tuple[int, str, bool]]:
        """(delivery, destination, goes as it was made) of what was put on the road and is still open."""
        ...

    async def still_open(self, delivery_ids: Sequence[int]) -> set[int]:
        """Those that the engine still has to act on."""
        ...

    async def kin(self, intents: Sequence[int]) -> dict[int, list[int]]:
        """The messages of each intent: the first of its kind and its copies."""
        ...

    async def links(self, message_id: int) -> list[Link]: ...

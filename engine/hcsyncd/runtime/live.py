"""The running daemon as its operator sees it: the port behind the verbs, and the records it answers with.

Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hcsyncd.formats.format import Format
from hcsyncd.message import Delivery
from hcsyncd.record import Record
from hcsyncd.store.ports import Alert, Hold


class Health(StrEnum):
    """How a channel fares, in one word."""

    UP = "up"  # a source listens; a destination took the last it was sent, or nothing was sent yet
    DOWN = "down"  # failed, and is tried again
    HELD = "held"  # by a person; or a destination with a lane that waits for one
    OFF = "off"  # enabled: false


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What only the running daemon knows of itself."""

    version: str
    pid: int
    site: str
    generation: int
    started_at: int
    activated_at: int  # when the generation came alive
    not_ready: tuple[str, ...]  # reasons, for a person; empty: ready
    pending_writes: int  # operations that wait for the store's next commit
    workers: int  # worker processes that are ready
    memory_bytes: int  # resident, of the daemon process
    free_bytes: int  # on the disk of the store
    http: str = ""  # address of the operators' HTTP listener, "" when there is none
    given_up: str = ""  # why the files on disk are not what runs; "" while nothing says so
    watched_until: int = 0  # when the generation has stood its first minutes; 0: it is not watched


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """What only the running daemon knows of a channel."""

    name: str
    role: str  # source or destination
    kind: str
    format: str
    health: Health
    address: str = ""
    error: str = ""  # why it is down
    connections: int = 0
    queued: int = 0  # destinations: open deliveries
    oldest_at: int = 0  # of the open deliveries; 0: none
    next_try_at: int = 0  # when a destination that is down is tried again
    held_lanes: int = 0
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A reload that went through. ``changes`` are lines in words; empty: the files say what is already running."""

    generation: int
    changes: tuple[str, ...]
    warnings: tuple[object, ...] = ()  # findings


class Order(Record, frozen=True):
    """Who wants the configuration changed, and why."""

    author: str  # a user's login name; signal, start
    reason: str


class Live(Protocol):
    """The running daemon, as its operator sees it. Implemented by the composition root."""

    def status(self) -> DaemonStatus: ...

    def channels(self) -> Sequence[ChannelStatus]: ...

    def alerts(self) -> Sequence[Alert]:
        """The open ones, the oldest first."""
        ...

    def routes(self) -> Mapping[str, Sequence[str]]:
        """The running generation's routes, each with its destinations."""
        ...

    def format_of(self, channel: str) -> Format | None:
        """The format of a source channel; None when the running generation has no such channel."""
        ...

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Deliveries were opened again: send them."""
        ...

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        """A delivery was settled by a person: a lane that stood behind it goes on."""
        ...

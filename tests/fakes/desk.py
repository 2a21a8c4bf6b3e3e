"""An operator's desk: a real store, the real verbs and the real control socket; the daemon's live side is scripted.

Runs an event loop in a thread of its own, so that the command line, which is not asynchronous, can be tried against it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hcsyncd.config.alerts import AlertOptions
from hcsyncd.config.model import DaemonOptions, Site
from hcsyncd.errors import ConfigError
from hcsyncd.events import Event
from hcsyncd.formats.format import Format
from hcsyncd.formats.hl7.format import Hl7Format, Hl7Options
from hcsyncd.message import Delivery, DeliveryState, Keys, Message, MessageState
from hcsyncd.runtime.alert_rules import Readings
from hcsyncd.runtime.alerting import Alerting
from hcsyncd.runtime.auditor import Auditor
from hcsyncd.runtime.configurations import Configurations
from hcsyncd.runtime.control import ControlServer, socket_path
from hcsyncd.runtime.dead_groups import DeadGroups
from hcsyncd.runtime.discovery import Discovery
from hcsyncd.runtime.holding import Holding
from hcsyncd.runtime.keeping import Keeper
from hcsyncd.runtime.live import ChannelStatus, DaemonStatus, Health, Order, Reloaded
from hcsyncd.runtime.preview import Item, Preview, Verdict
from hcsyncd.runtime.repair import Repairer
from hcsyncd.runtime.replaying import Replaying
from hcsyncd.runtime.steady_clock import SteadyClock
from hcsyncd.runtime.unsure import Settlement
from hcsyncd.runtime.verb import Caller, Verbs
from hcsyncd.runtime.verbs.alerts import AlertVerbs
from hcsyncd.runtime.verbs.audit import AuditVerbs
from hcsyncd.runtime.verbs.configuration import ConfigurationVerbs
from hcsyncd.runtime.verbs.dead import DeadVerbs
from hcsyncd.runtime.verbs.dead_groups import DeadGroupVerbs
from hcsyncd.runtime.verbs.holds import HoldVerbs
from hcsyncd.runtime.verbs.keeping import KeepingVerbs
from hcsyncd.runtime.verbs.replays import ReplayVerbs
from hcsyncd.runtime.verbs.state import StateVerbs
from hcsyncd.runtime.verbs.store import StoreVerbs
from hcsyncd.runtime.verbs.unsure import UnsureVerbs
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import Alert, Handoff, NewDelivery, NewMessage, Outcome, Stored
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.lookout import ScriptedLookout
from tests.fakes.other_side import ScriptedOtherSide
from tests.fakes.replay_road import ScriptedRoad

ADT = b"MSH|^~\\&|EHR|HOSP|RX|LAB|20261122140300||ADT^A01^ADT_A01|%s|P|2.5\rPID|1||123^^^MR\r"
ROUTES = {"events": ("events_out",), "relay": ("relay_out", "archive_out")}

Result = TypeVar("Result")


def adt(control_id: str) -> bytes:
    return ADT % control_id.encode()


@dataclass
class ScriptedLive:
    """The daemon's live side. What it was told is kept in ``requeued`` and ``released``."""

    not_ready: tuple[str, ...] = ()
    refusal: ConfigError | None = None
    changes: tuple[str, ...] = ("route events: added",)
    requeued: list[Delivery] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    items: tuple[Item, ...] = (Item("route", "events", Verdict.ADDED),)  # of a plan
    released: list[tuple[str, str]] = field(default_factory=list)
    open_alerts: tuple[Alert, ...] = ()
    known: Mapping[str, Sequence[str]] = field(default_factory=lambda: dict(ROUTES))

    def status(self) -> DaemonStatus:
        return DaemonStatus(
            version="1.2.3",
            pid=4711,
            site="/etc/hcsyncd",
            generation=3,
            started_at=1_700_000_000_000_000,
            activated_at=1_700_000_060_000_000,
            not_ready=self.not_ready,
            pending_writes=0,
            workers=2,
            memory_bytes=60_000_000,
            free_bytes=5_000_000_000,
            http="127.0.0.1:9464",
        )

    def channels(self) -> Sequence[ChannelStatus]:
        return (
            ChannelStatus("adt_in", "source", "mllp", "hl7", Health.UP, address="127.0.0.1:2575", connections=2),
            ChannelStatus(
                "relay_out",
                "destination",
                "mllp",
                "hl7",
                Health.DOWN,
                address="10.0.0.9:2575",
                error="connect-refused",
                queued=7,
                oldest_at=1_700_000_000_000_000,
                next_try_at=1_700_000_030_000_000,
            ),
        )

    def alerts(self) -> Sequence[Alert]:
        return self.open_alerts

    def routes(self) -> Mapping[str, Sequence[str]]:
        return self.known

    async def reload(self, order: Order, digest: str = "") -> Reloaded:
        self.orders.append(order)
        if self.refusal:
            raise self.refusal
        return Reloaded(generation=4, changes=self.changes)

    @property
    def folder(self) -> Path:
        return Path("/etc/hcsyncd")

    async def save(self, order: Order) -> int:
        self.orders.append(order)
        return 0

    async def plan(self) -> Preview:
        if self.refusal:
            raise self.refusal
        return Preview(3, "f" * 64, is_live=not self.items, items=self.items)

    def format_of(self, channel: str) -> Format | None:
        return Hl7Format(Hl7Options()) if channel == "adt_in" else None

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        self.requeued += deliveries

    def release(self, destination: str, lane: str, _delivery_id: int) -> None:
        self.released.append((destination, lane))


class Desk:
    """Open it with ``with``; every call waits for its result."""

    def __init__(self, site: Path, key: MasterKey | None = None) -> None:
        self.site = site
        self._key = key
        self.clock = FakeClock()
        self.live = ScriptedLive()
        self.readings = Readings(self.clock.now(), "")
        self.other_side = ScriptedOtherSide()
        self.lookout = ScriptedLookout(self.live)
        self.options = DaemonOptions()
        self.events: list[Event] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Desk:
        self.site.mkdir(exist_ok=True)
        (self.site / "routes.yaml").write_text("routes: []\n")
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        data = self.site / "var"
        self.store = await Store.open(data, self.events.append, self.clock, self._key)
        self.keeper = Keeper(
            self.store.retention,
            self._live_site,
            lambda: self.store.pending,
            Auditor(self.store.audit, data, self.events.append).cut,
            self.events.append,
            self.clock,
        )
        self.discovery = Discovery(self.store, self.lookout, self.clock)
        self.steady_clock = SteadyClock(self.clock, 5, 600, self.events.append)
        self.alerting = Alerting(
            self.store.alerts, AlertOptions(for_secs=0), self._look, (), "desk", self.events.append, self.clock
        )
        self.road = ScriptedRoad(self.store, self.live.known)
        self.replaying = Replaying(
            (self.store.replays, self.store.history),
            self.road,
            self.road,
            self.options.replays,
            self.events.append,
            self.clock,
        )
        self._replaying = asyncio.get_running_loop().create_task(self.replaying.run())
        self.verbs = self._verbs()
        self._server = ControlServer(
            socket_path(data),
            self.verbs,
            self.events.append,
            auditor=Auditor(self.store.audit, data, self.events.append),
        )
        await self._server.start()

    async def _look(self) -> Readings:
        return self.readings

    def look(self) -> None:
        """Judge what ``readings`` says, as the daemon does now and then."""
        self.run(self.alerting.look())
        self.live.open_alerts = tuple(self.alerting.open)

    def _live_site(self) -> Site:
        return Site(self.site, self.options, {}, ())

    def _verbs(self) -> Verbs:
        history = self.store.history
        repairer = Repairer(history, self.store.repairs, self.live, self.events.append)
        configurations = Configurations(self.store.configurations, self.site, self.site / "var" / "configurations")
        return {
            **StateVerbs(history, self.live).verbs(),
            **StoreVerbs(self.store, self.events.append, self.clock).verbs(),
            **ConfigurationVerbs(self.live, configurations).verbs(),
            **self.discovery.verbs(),
            **KeepingVerbs(self.keeper, self.store.retention).verbs(),
            **self._attention_verbs(),
            **DeadVerbs(history, repairer).verbs(),
            **ReplayVerbs(self.store.replays, self.replaying).verbs(),
            **AlertVerbs(self.alerting, self.store.alerts, self.steady_clock).verbs(),
            **AuditVerbs(self.store.audit, history).verbs(),
        }

    def _attention_verbs(self) -> Verbs:
        store, emit = self.store, self.events.append
        groups = DeadGroups(store.history, store.tasks, self._live_site, emit, self.clock)
        settlement = Settlement(store.history, store.doubts, self.other_side, emit, self.clock)
        holding = Holding(store.holds, emit, self.clock, asyncio.Lock())
        return {
            **DeadGroupVerbs(groups).verbs(),
            **UnsureVerbs(groups, settlement).verbs(),
            **HoldVerbs(holding, self.other_side).verbs(),
        }

    async def _close(self) -> None:
        await self._server.stop()
        self._replaying.cancel()
        await asyncio.gather(self._replaying, return_exceptions=True)
        await self.store.close()

    def waiting(self) -> list[Message]:
        """What the road would take next."""
        return self.run(self.store.inbox.received("adt_in", 0, 100, 1_000_000))

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def verb(self, name: str, **args: Any) -> Any:
        """Carry out a verb without the socket between."""
        return self.run(self._verb(name, args))

    async def _verb(self, name: str, args: dict[str, Any]) -> Any:
        verb = self.verbs[name]
        return await verb.run(verb.read(args), Caller(os.getuid()))

    # Messages in the states that a road would have brought them to

    def receive(self, control_id: str = "M1", **changes: Any) -> int:
        return self.run(self._receive(control_id, changes))

    async def _receive(self, control_id: str, changes: dict[str, Any]) -> int:
        self.clock.advance(1)
        body = changes.pop("body", adt(control_id))
        known: dict[str, Any] = {
            "channel": "adt_in",
            "received_at": self.clock.now(),
            "keys": Keys("ADT^A01", control_id, "EHR|HOSP", "RX|LAB"),
            "body": body,
            "peer": "10.0.0.5:40001",
            "facts": {"local_port": "2575"},
            "reply": b"MSH|^~\\&|RX\rMSA|AA|" + control_id.encode() + b"\r",
        }
        stored = await self.store.inbox.put(NewMessage(**(known | changes)))
        assert isinstance(stored, Stored)
        return stored.message_id

    def receive_many(self, count: int) -> list[int]:
        return self.run(self._receive_many(count))

    async def _receive_many(self, count: int) -> list[int]:
        return list(await asyncio.gather(*(self._receive(f"M{number}", {}) for number in range(count))))

    def dead_on_arrival(self, control_id: str = "BAD") -> int:
        """A message that nobody could read."""
        return self.receive(
            control_id, state=MessageState.DEAD, cause="no-msh", text="no MSH segment", body=b"PID|1\r", keys=Keys()
        )

    def hand_on(self, message_id: int, *ways: tuple[str, str], failed: bool = False) -> list[int]:
        """Deliveries by route and destination; failed: their route's transform did."""
        return self.run(self._hand_on(message_id, ways, failed=failed))

    async def _hand_on(self, message_id: int, ways: tuple[tuple[str, str], ...], *, failed: bool) -> list[int]:
        deliveries = tuple(
            NewDelivery(
                route=route,
                destination=destination,
                lane="",
                content_type="application/json",
                key=f"{self.store.name}-{message_id}-{route}-{destination}",
                body=None if failed else b'{"event":"admission"}',
                state=DeliveryState.DEAD if failed else DeliveryState.READY,
                cause="unmapped-code" if failed else "",
                text="mapping table 'wards' has no entry for 'W9'" if failed else "",
            )
            for route, destination in ways
        )
        state = MessageState.DEAD if failed else MessageState.ROUTED
        (ids,) = await self.store.outbox.hand_on([Handoff(message_id, state, deliveries)])
        return ids

    def settle(
        self, message_id: int, delivery_id: int, state: DeliveryState, cause: str = "", answer: bytes = b""
    ) -> None:
        """One attempt, and how it ended."""
        started_at = self.clock.now()
        self.clock.advance(0.25)
        text = "the other side said no" if cause else ""
        outcome = Outcome(
            delivery_id, message_id, state, 1, started_at, self.clock.now(), cause=cause, text=text, answer=answer
        )
        self.run(self._settle(outcome))

    async def _settle(self, outcome: Outcome) -> None:
        await self.store.outbox.settle(outcome)

    def dead_delivery(self, control_id: str = "M1", destination: str = "relay_out") -> tuple[int, int]:
        """A message whose one delivery died after it was made: its id, and the delivery's."""
        message_id = self.receive(control_id)
        route = next(name for name, destinations in ROUTES.items() if destination in destinations)
        (delivery_id,) = self.hand_on(message_id, (route, destination))
        self.settle(
            message_id, delivery_id, DeliveryState.DEAD, "ack-AR", b"MSH|^~\\&|LAB\rMSA|AR|" + control_id.encode()
        )
        return message_id, delivery_id

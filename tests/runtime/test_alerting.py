"""Alerts as state: raised once, reminded of, cleared once, whatever flaps, fails or restarts."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hcsyncd.config.alerts import AlertOptions, ChannelAlertOptions, bounds_for
from hcsyncd.errors import ControlError, StoreError
from hcsyncd.events import AlertAcknowledged, AlertCleared, AlertRaised, AlertReminded, AlertsFailed, StoreFailed
from hcsyncd.runtime.alert_rules import ChannelReading, Readings
from hcsyncd.runtime.alerting import Alerting
from hcsyncd.runtime.notices import Notice, SinkError, SinkQueue
from hcsyncd.store.ports import Alert, Alerts, Trouble
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.waiting import until

OPTIONS = AlertOptions(for_secs=60, remind_secs=3600, owner="interface team")
DOWN = {"dead": 1}


class KeptNotices:
    """A sink that keeps what it is told, or refuses."""

    name = "kept"
    gather_secs = 0.0

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.refusal = ""

    async def send(self, notices: Sequence[Notice]) -> int:
        if self.refusal:
            raise SinkError(self.refusal)
        self.told += notices
        return len(notices)

    async def close(self) -> None:
        return


class FullAlerts:
    """The alerts of a store whose disk is full for a while."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self.full = False

    def put(self, alert: Alert) -> Future[int]:
        if not self.full:
            return self._alerts.put(alert)
        refused: Future[int] = asyncio.get_running_loop().create_future()
        refused.set_exception(StoreError("the disk is full"))
        return refused

    async def open(self) -> list[Alert]:
        return await self._alerts.open()

    async def history(self, *, before_id: int = 0, kind: str = "", subject: str = "", limit: int = 100) -> list[Alert]:
        return await self._alerts.history(before_id=before_id, kind=kind, subject=subject, limit=limit)

    async def trouble(self) -> Trouble:
        return await self._alerts.trouble()

    async def last_received(self, channels: Sequence[str]) -> dict[str, int]:
        return await self._alerts.last_received(channels)


class Bench:
    """Alerting on a real store, with readings that a test sets and a clock that it moves."""

    def __init__(self, store: Store, options: AlertOptions = OPTIONS) -> None:
        self.clock = FakeClock()
        self.events = RecordedEvents()
        self.alerts = FullAlerts(store.alerts)
        self.sink = KeptNotices()
        self._queue = SinkQueue(self.sink, self.events, self.clock)
        self._readings = Readings(self.clock.now(), "interface team")
        self.alerting = Alerting(self.alerts, options, self._look, [self._queue], "site", self.events, self.clock)
        self._queue.start()

    async def _look(self) -> Readings:
        return self._readings

    def reads(self, **fields: Any) -> None:
        """How the one channel stands from now on."""
        bounds = bounds_for(ChannelAlertOptions(), OPTIONS)
        channel = ChannelReading("relay_out", "destination", "laboratory", bounds, **fields)
        self._readings = replace(self._readings, channels=(channel,))

    async def after(self, secs: float) -> None:
        """Let time pass, and look."""
        self.clock.advance(secs)
        await self.alerting.look()

    @property
    def said(self) -> list[str]:
        kinds = (AlertRaised, AlertReminded, AlertCleared)
        return [type(event).__name__ for event in self.events.events if isinstance(event, kinds)]

    async def stop(self) -> None:
        await self._queue.stop()


Make = Callable[..., Bench]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    store = await Store.open(tmp_path / "alerts", RecordedEvents(), FakeClock())
    made: list[Bench] = []

    def build(options: AlertOptions = OPTIONS) -> Bench:
        made.append(Bench(store, options))
        return made[-1]

    yield build
    for bench in made:
        await bench.stop()
    await store.close()


async def test_an_alert_is_raised_once_reminded_of_and_cleared_once(make: Make) -> None:
    bench = make()
    bench.reads(**DOWN)
    await bench.after(0)
    await bench.after(59)
    assert bench.said == []
    await bench.after(1)
    for _ in range(5):
        await bench.after(600)
    assert bench.said == ["AlertRaised"]
    await bench.after(600)
    assert bench.said == ["AlertRaised", "AlertReminded"]
    bench.reads()
    await bench.after(1)
    await bench.after(59)
    assert bench.alerting.open
    await bench.after(1)
    assert bench.said == ["AlertRaised", "AlertReminded", "AlertCleared"]
    assert bench.alerting.open == []
    await until(lambda: [notice.what for notice in bench.sink.told] == ["raised", "reminded", "cleared"])
    (kept,) = await bench.alerts.history()
    assert (kept.kind, kept.subject, kept.owner, kept.reminders) == ("dead-letters", "relay_out", "laboratory", 1)
    assert kept.cleared_at == bench.clock.now()


async def test_what_flaps_is_one_alert_or_none(make: Make) -> None:
    bench = make()
    for _ in range(10):  # never for long enough
        bench.reads(**DOWN)
        await bench.after(40)
        bench.reads()
        await bench.after(40)
    assert bench.said == []
    bench.reads(**DOWN)
    await bench.after(0)
    await bench.after(60)
    for _ in range(10):  # never gone for long enough
        bench.reads()
        await bench.after(40)
        bench.reads(**DOWN)
        await bench.after(40)
    assert bench.said == ["AlertRaised"]


async def test_what_is_near_its_bound_keeps_an_alert_and_raises_none(make: Make) -> None:
    bench = make(OPTIONS.model_copy(update={"for_secs": 0.0}))
    bench.reads(queued=9_000)
    await bench.after(1)
    assert bench.said == []
    bench.reads(queued=10_001)
    await bench.after(1)
    bench.reads(queued=9_000)
    await bench.after(1)
    assert bench.said == ["AlertRaised"]
    bench.reads(queued=7_000)
    await bench.after(1)
    assert bench.said == ["AlertRaised", "AlertCleared"]


async def test_a_restart_raises_nothing_again(make: Make) -> None:
    first = make()
    first.reads(**DOWN)
    await first.after(0)
    await first.after(60)
    (before,) = first.alerting.open
    second = make()
    second.clock.advance(600)
    await second.alerting.load()
    second.reads(**DOWN)
    await second.after(0)
    await second.after(120)
    assert second.said == []
    assert second.alerting.open[0].id == before.id
    second.reads()
    await second.after(0)
    await second.after(60)
    assert second.said == ["AlertCleared"]


@pytest.mark.parametrize("jump", [400 * 86_400.0, -400 * 86_400.0])
async def test_a_wall_clock_that_jumps_neither_raises_nor_reminds_nor_clears(make: Make, jump: float) -> None:
    bench = make()
    bench.reads(**DOWN)
    await bench.after(0)
    bench.clock.jump(jump)
    await bench.after(10)
    assert bench.said == []
    await bench.after(50)
    bench.clock.jump(jump)
    await bench.after(10)
    bench.reads()
    await bench.after(10)
    bench.clock.jump(jump)
    await bench.after(10)
    assert bench.said == ["AlertRaised"]


async def test_nobody_is_reminded_of_what_somebody_looks_after(make: Make) -> None:
    bench = make()
    bench.reads(**DOWN)
    await bench.after(0)
    await bench.after(60)
    (alert,) = bench.alerting.open
    taken = await bench.alerting.acknowledge(alert.id, "anna", "the laboratory restarts")
    assert (taken.acknowledged_by, taken.note) == ("anna", "the laboratory restarts")
    await bench.after(10 * 3600)
    assert bench.said == ["AlertRaised"]
    assert [event.user for event in bench.events.of(AlertAcknowledged)] == ["anna"]
    assert (await bench.alerts.open())[0].acknowledged_by == "anna"


async def test_only_an_open_alert_can_be_acknowledged(make: Make) -> None:
    with pytest.raises(ControlError, match=r"there is no open alert 4; open are: none"):
        await make().alerting.acknowledge(4, "anna", "")


async def test_alerts_go_on_while_the_store_cannot_keep_them(make: Make) -> None:
    bench = make(OPTIONS.model_copy(update={"for_secs": 0.0}))
    bench.alerts.full = True
    bench.reads(**DOWN)
    await bench.after(1)
    await bench.after(1)
    assert bench.said == ["AlertRaised"]
    assert len(bench.events.of(AlertsFailed)) == 1
    await until(lambda: [notice.what for notice in bench.sink.told] == ["raised"])
    bench.alerts.full = False
    await bench.after(1)
    assert [alert.kind for alert in await bench.alerts.open()] == ["dead-letters"]
    bench.alerts.full = True
    bench.reads()
    await bench.after(1)
    bench.reads(**DOWN)
    await bench.after(1)
    bench.alerts.full = False
    await bench.after(1)
    first, second = reversed(await bench.alerts.history())
    assert first.cleared_at
    assert not second.cleared_at


async def test_a_sink_that_fails_holds_nothing_up_and_gets_its_notices_later(make: Make) -> None:
    bench = make(OPTIONS.model_copy(update={"for_secs": 0.0}))
    bench.sink.refusal = "the other side answered 500"
    bench.reads(**DOWN)
    await bench.after(1)
    bench.reads()
    await bench.after(1)
    assert bench.said == ["AlertRaised", "AlertCleared"]
    bench.sink.refusal = ""
    await until(lambda: [notice.what for notice in bench.sink.told] == ["raised", "cleared"])


async def test_a_test_goes_to_every_sink_and_says_why_not(make: Make) -> None:
    bench = make()
    assert await bench.alerting.test("anna") == {"kept": ""}
    assert [notice.what for notice in bench.sink.told] == ["test"]
    bench.sink.refusal = "no answer within 10 s"
    assert await bench.alerting.test("anna") == {"kept": "no answer within 10 s"}
    assert bench.events.of(StoreFailed) == []


async def test_every_kind_is_counted_also_where_none_is_open(make: Make) -> None:
    bench = make(OPTIONS.model_copy(update={"for_secs": 0.0}))
    assert set(bench.alerting.counts().values()) == {0.0}
    bench.reads(dead=1, unsure=1)
    await bench.after(1)
    counts = bench.alerting.counts()
    assert (counts["dead-letters",], counts["unsure",], counts["disk",]) == (1, 1, 0)

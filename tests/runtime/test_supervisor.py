"""A source that fails is started again, shows as down meanwhile, and stops when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from hcsyncd.connectors.connector import Intake
from hcsyncd.errors import SourceError
from hcsyncd.events import SourceFailed, SourceStarted, SourceStopped
from hcsyncd.runtime import supervisor
from hcsyncd.runtime.supervisor import SourceRunner
from tests.fakes.events import RecordedEvents
from tests.fakes.intake import RecordingIntake
from tests.fakes.waiting import until


class ScriptedSource:
    """Starts or not, and runs until it is told to end or to fail."""

    address = "here"

    def __init__(self, start_error: Exception | None) -> None:
        self.start_error = start_error
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.running = False
        self.stopped = 0

    async def start(self) -> None:
        if self.start_error:
            raise self.start_error

    async def run(self, intake: Intake) -> None:
        self.running = True
        await asyncio.shield(self.end)

    async def stop(self) -> None:
        self.stopped += 1
        if not self.end.done():
            self.end.set_result(None)


class Shop:
    """Builds the sources of a runner, each with the start error that is next."""

    def __init__(self, *start_errors: Exception | None) -> None:
        self.start_errors = list(start_errors)
        self.built: list[ScriptedSource] = []

    def __call__(self) -> ScriptedSource:
        self.built.append(ScriptedSource(self.start_errors.pop(0) if self.start_errors else None))
        return self.built[-1]


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECS", 0.01)


def runner(shop: Shop, events: RecordedEvents) -> SourceRunner:
    return SourceRunner("adt_in", shop, RecordingIntake(), events)


async def test_a_source_that_cannot_bind_is_tried_until_it_can(events: RecordedEvents) -> None:
    shop = Shop(SourceError("address taken"), OSError("still taken"))
    kept = runner(shop, events)
    with pytest.raises(SourceError, match="channel adt_in: address taken"):
        await kept.start()
    assert (kept.is_up, kept.error) == (False, "address taken")
    kept.keep()
    await events.first(SourceStarted)
    assert (kept.is_up, kept.error, kept.address) == (True, "", "here")
    assert len(shop.built) == 3
    assert len(events.of(SourceFailed)) == 1
    await kept.stop()


@pytest.mark.parametrize("failure", [SourceError("folder gone"), RuntimeError("a defect"), None])
async def test_a_source_that_ends_by_itself_is_started_again(events: RecordedEvents, failure: Exception | None) -> None:
    shop = Shop()
    kept = runner(shop, events)
    await kept.start()
    kept.keep()
    await until(lambda: shop.built[0].running)
    if failure:
        shop.built[0].end.set_exception(failure)
    else:
        shop.built[0].end.set_result(None)
    await events.first(SourceStarted, 2)
    assert shop.built[0].stopped
    (failed,) = events.of(SourceFailed)
    assert str(failure or "ended by itself") in failed.error
    await kept.stop()
    assert [event.channel for event in events.of(SourceStopped)] == ["adt_in"]


async def test_pauses_grow(events: RecordedEvents) -> None:
    shop = Shop(*[SourceError("no")] * 4)
    kept = runner(shop, events)
    kept.keep()
    await events.first(SourceStarted)
    assert [event.retry_secs for event in events.of(SourceFailed)] == [0.01, 0.02, 0.04, 0.08]
    await kept.stop()


async def test_a_stop_ends_a_source_that_waits_for_its_next_try(events: RecordedEvents) -> None:
    kept = runner(Shop(*[SourceError("no")] * 99), events)
    kept.keep()
    await events.first(SourceFailed)
    await asyncio.wait_for(kept.stop(), 5)
    assert events.of(SourceStopped) == []

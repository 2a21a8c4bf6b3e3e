"""A running MLLP listener with what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from hcsyncd.connectors.mllp_source import CONNECTOR, MllpSource, MllpSourceOptions
from hcsyncd.events import ConnectionClosed, FrameFaulted
from tests.fakes.clock import FakeClock
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_peer import MllpSender
from tests.fakes.seats import RecordedEvents, make_seat


class Listener:
    """A running source with what it was given."""

    def __init__(self, source: MllpSource, intake: RecordingIntake, events: RecordedEvents, clock: FakeClock) -> None:
        self.source = source
        self.intake = intake
        self.events = events
        self.clock = clock
        self.run: asyncio.Task[None] = asyncio.create_task(source.run(intake))
        self.senders: list[MllpSender] = []

    async def connect(self) -> MllpSender:
        sender = await MllpSender.connect(self.source.address)
        self.senders.append(sender)
        return sender

    @property
    def closings(self) -> list[str]:
        return [event.reason for event in self.events.of(ConnectionClosed)]

    @property
    def faults(self) -> list[tuple[str, int]]:
        return [(event.fault, event.bytes) for event in self.events.of(FrameFaulted)]


Listen = Callable[..., Awaitable[Listener]]


@asynccontextmanager
async def listeners(folder: Path) -> AsyncIterator[Listen]:
    """Starts listeners on loopback with the options given, and stops them in good order at the end."""
    async with AsyncExitStack() as stack:

        async def start(intake: RecordingIntake | None = None, **options: Any) -> Listener:
            events, clock = RecordedEvents(), FakeClock()
            seat = make_seat(folder, events, clock=clock)
            source = CONNECTOR.build(MllpSourceOptions(port=0, **options), seat)
            await source.start()
            listener = Listener(source, intake or RecordingIntake(), events, clock)
            stack.push_async_callback(_finish, listener)
            return listener

        yield start


async def _finish(listener: Listener) -> None:
    listener.intake.hold = False
    listener.intake.release()
    for later in listener.intake.later:
        if not later.done():
            later.set_result(b"")
    async with asyncio.timeout(10):
        await listener.source.stop()
        await listener.run
    for sender in listener.senders:
        await sender.close()

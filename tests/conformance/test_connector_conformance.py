"""What every connector promises, checked on each one in the registry."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel

from hcsyncd.connectors.connector import Connector, Destination, Role, Source
from hcsyncd.connectors.registry import CONNECTORS, find
from hcsyncd.errors import ConfigError, DeliveryError, SourceError, Transient
from hcsyncd.message import Envelope, Sent
from hcsyncd.options import Options
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_peer import MllpSender, ScriptedReceiver, adt
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until

SOURCES = [connector for connector in CONNECTORS if connector.role is Role.SOURCE]
DESTINATIONS = [connector for connector in CONNECTORS if connector.role is Role.DESTINATION]


class SourceBench(ABC):
    """How the suite drives one kind of source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Options with which it starts."""

    @abstractmethod
    def impossible(self) -> dict[str, Any]:
        """Options with which it cannot start."""

    @abstractmethod
    async def send(self, address: str, body: bytes) -> None:
        """Hand one message in, as a sender would, and wait for whatever a sender waits for."""


class MllpSourceBench(SourceBench):
    def options(self) -> dict[str, Any]:
        return {"port": 0}

    def impossible(self) -> dict[str, Any]:
        return {"port": 0, "host": "192.0.2.1"}

    async def send(self, address: str, body: bytes) -> None:
        sender = await MllpSender.connect(address)
        assert b"MSA|AA|" in await sender.ask(body)
        await sender.close()


class HttpSourceBench(SourceBench):
    def options(self) -> dict[str, Any]:
        return {"port": 0}

    def impossible(self) -> dict[str, Any]:
        return {"port": 0, "host": "192.0.2.1"}

    async def send(self, address: str, body: bytes) -> None:
        url = address if "://" in address else f"http://{address}/"
        async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
            assert answer.status in (200, 202)


class FolderSourceBench(SourceBench):
    def options(self) -> dict[str, Any]:
        (self.folder / "in").mkdir(exist_ok=True)
        return {"folder": "in", "poll_secs": 0.02, "stable_secs": 0.0}

    def impossible(self) -> dict[str, Any]:
        return {"folder": "absent", "create": False}

    async def send(self, address: str, body: bytes) -> None:
        number = len(list((self.folder / "in").iterdir()))
        part = self.folder / "in" / f".{number}.part"
        part.write_bytes(body)
        part.rename(self.folder / "in" / f"{number}.hl7")


class DestinationBench(ABC):
    """How the suite plays the other side of one kind of destination."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    @asynccontextmanager
    async def partner(self) -> AsyncIterator[dict[str, Any]]:
        """A partner that takes everything; the options that lead to it."""
        yield {}

    @abstractmethod
    def absent(self) -> dict[str, Any]:
        """Options that lead to a partner that is not there."""

    @abstractmethod
    def received(self) -> list[bytes]:
        """The bodies that the partner has, in order of arrival."""


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class MllpDestinationBench(DestinationBench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._receiver = ScriptedReceiver()

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[dict[str, Any]]:
        async with self._receiver as receiver:
            yield {"host": "127.0.0.1", "port": receiver.port}

    def absent(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": unused_port()}

    def received(self) -> list[bytes]:
        return self._receiver.payloads


class HttpDestinationBench(DestinationBench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bodies: list[bytes] = []

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[dict[str, Any]]:
        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            if request.method == "POST":
                self._bodies.append(body)
            return web.Response(status=200)

        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", take)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield {"url": f"http://127.0.0.1:{runner.addresses[0][1]}/in"}
        finally:
            await runner.cleanup()

    def absent(self) -> dict[str, Any]:
        return {"url": f"http://127.0.0.1:{unused_port()}/in"}

    def received(self) -> list[bytes]:
        return self._bodies


class FolderDestinationBench(DestinationBench):
    @asynccontextmanager
    async def partner(self) -> AsyncIterator[dict[str, Any]]:
        (self.folder / "out").mkdir()
        yield {"folder": "out"}

    def absent(self) -> dict[str, Any]:
        return {"folder": "absent", "create": False}

    def received(self) -> list[bytes]:
        return [file.read_bytes() for file in sorted((self.folder / "out").iterdir()) if file.is_file()]


SOURCE_BENCHES: dict[str, type[SourceBench]] = {
    "mllp": MllpSourceBench,
    "http": HttpSourceBench,
    "folder": FolderSourceBench,
}
DESTINATION_BENCHES: dict[str, type[DestinationBench]] = {
    "mllp": MllpDestinationBench,
    "http": HttpDestinationBench,
    "folder": FolderDestinationBench,
}


def identified(connector: Connector) -> str:
    return f"{connector.kind}-{connector.role}"


every_connector = pytest.mark.parametrize("connector", CONNECTORS, ids=identified)
every_source = pytest.mark.parametrize("connector", SOURCES, ids=identified)
every_destination = pytest.mark.parametrize("connector", DESTINATIONS, ids=identified)


# The descriptor


def option_classes(options: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """An option class and those that its options are made of."""
    yield options
    for field in options.model_fields.values():
        pieces = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for piece in pieces:
            if isinstance(piece, type) and issubclass(piece, BaseModel):
                yield from option_classes(piece)


@every_connector
def test_every_option_is_documented(connector: Connector) -> None:
    for options in option_classes(connector.options):
        assert issubclass(options, Options)
        assert options.__doc__
        for name, field in options.model_fields.items():
            assert field.description, f"{options.__name__}.{name}"
            assert field.description.endswith("."), f"{options.__name__}.{name}: {field.description}"


@every_connector
def test_names_of_options_carry_their_unit(connector: Connector) -> None:
    for options in option_classes(connector.options):
        for name, field in options.model_fields.items():
            unit = (field.json_schema_extra or {}).get("unit") if isinstance(field.json_schema_extra, dict) else None
            suffix = {"_secs": "seconds", "_bytes": "bytes"}.get(f"_{name.rpartition('_')[2]}")
            assert unit == suffix, f"{options.__name__}.{name}"


@every_connector
def test_the_descriptor_is_complete_and_found(connector: Connector) -> None:
    assert connector.summary.endswith(".")
    assert connector.kind.isidentifier()
    assert find(connector.kind, connector.role) is connector


def test_what_is_not_there_is_not_found() -> None:
    assert find("carrier_pigeon", Role.SOURCE) is None


def test_each_kind_and_role_is_there_once() -> None:
    names = [(connector.kind, connector.role) for connector in CONNECTORS]
    assert len(set(names)) == len(names)
    assert {connector.kind for connector in SOURCES} == set(SOURCE_BENCHES)
    assert {connector.kind for connector in DESTINATIONS} == set(DESTINATION_BENCHES)


# Sources


class Running:
    """A source that runs."""

    def __init__(self, source: Source, bench: SourceBench, intake: RecordingIntake) -> None:
        self.source = source
        self.bench = bench
        self.intake = intake
        self.run = asyncio.create_task(source.run(intake))

    async def send(self, body: bytes) -> None:
        await self.bench.send(self.source.address, body)


@asynccontextmanager
async def running(connector: Connector, folder: Path, intake: RecordingIntake) -> AsyncIterator[Running]:
    bench = SOURCE_BENCHES[connector.kind](folder)
    source: Source = connector.build(
        connector.options.model_validate(bench.options()), make_seat(folder, RecordedEvents())
    )
    await source.start()
    started = Running(source, bench, intake)
    try:
        yield started
    finally:
        intake.hold = False
        intake.release()
        async with asyncio.timeout(10):
            await source.stop()
            await started.run


@every_source
async def test_what_is_sent_is_handed_in_byte_for_byte(connector: Connector, tmp_path: Path) -> None:
    intake = RecordingIntake()
    bodies = [adt("1"), adt("2", "MÜLLER^ZOË"), adt("3", "X" * 100_000)]
    async with running(connector, tmp_path, intake) as source:
        for number, body in enumerate(bodies):
            await source.send(body)
            await until(lambda n=number: len(intake.arrivals) == n + 1)  # type: ignore[misc]

    assert intake.bodies == bodies
    assert {arrival.channel for arrival in intake.arrivals} == {"adt_in"}
    assert all(arrival.peer for arrival in intake.arrivals)
    assert all(arrival.received_at > 1_500_000_000_000_000 for arrival in intake.arrivals)  # microseconds


@every_source
async def test_the_address_is_known_once_started(connector: Connector, tmp_path: Path) -> None:
    async with running(connector, tmp_path, RecordingIntake()) as source:
        assert source.source.address
        assert ":0" not in source.source.address


@every_source
async def test_stop_waits_for_the_receipt_of_what_is_in_hand(connector: Connector, tmp_path: Path) -> None:
    intake = RecordingIntake(hold=True)
    async with running(connector, tmp_path, intake) as source:
        sending = asyncio.create_task(source.send(adt("1")))
        await until(lambda: intake.held)
        stopping = asyncio.create_task(source.source.stop())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not stopping.done()
        intake.release()
        async with asyncio.timeout(10):
            await stopping
            await sending  # its reply came


@every_source
async def test_stop_may_be_called_twice_and_ends_run(connector: Connector, tmp_path: Path) -> None:
    async with running(connector, tmp_path, RecordingIntake()) as source:
        await asyncio.gather(source.source.stop(), source.source.stop())
        await source.source.stop()
        async with asyncio.timeout(10):
            await source.run


@every_source
async def test_stop_without_start_does_nothing(connector: Connector, tmp_path: Path) -> None:
    bench = SOURCE_BENCHES[connector.kind](tmp_path)
    options = connector.options.model_validate(bench.options())
    source: Source = connector.build(options, make_seat(tmp_path, RecordedEvents()))

    await source.stop()


@every_source
async def test_a_stopped_source_leaves_room_for_the_next(connector: Connector, tmp_path: Path) -> None:
    intake = RecordingIntake()
    async with running(connector, tmp_path, RecordingIntake()):
        pass
    async with running(connector, tmp_path, intake) as source:
        await source.send(adt("1"))
        await until(lambda: intake.arrivals)


@every_source
async def test_a_source_that_cannot_start_says_why(connector: Connector, tmp_path: Path) -> None:
    bench = SOURCE_BENCHES[connector.kind](tmp_path)
    options = connector.options.model_validate(bench.impossible())
    source: Source = connector.build(options, make_seat(tmp_path, RecordedEvents()))
    with pytest.raises(SourceError) as caught:
        await source.start()

    assert any(str(value) in str(caught.value) for value in bench.impossible().values() if value)
    await source.stop()


# Destinations


def envelope(number: int) -> Envelope:
    return Envelope(
        delivery_id=number,
        message_id=number,
        body=adt(str(number)),
        content_type="x-application/hl7-v2+er7",
        idempotency_key=f"key-{number}",
        type="ADT^A01",
        control_id=str(number),
        created_at=1_700_000_000_000_000 + number,
    )


@asynccontextmanager
async def opened(connector: Connector, folder: Path, options: dict[str, Any]) -> AsyncIterator[Destination]:
    destination: Destination = connector.build(
        connector.options.model_validate(options), make_seat(folder, RecordedEvents())
    )
    await destination.open()
    try:
        yield destination
    finally:
        await destination.close()


@every_destination
async def test_envelopes_arrive_byte_for_byte_and_in_the_order_of_the_calls(
    connector: Connector, tmp_path: Path
) -> None:
    bench = DESTINATION_BENCHES[connector.kind](tmp_path)
    async with bench.partner() as options, opened(connector, tmp_path, options) as destination:
        sent = await asyncio.gather(*(destination.send(envelope(number)) for number in range(1, 6)))

    assert all(isinstance(one, Sent) for one in sent)
    assert bench.received() == [adt(str(number)) for number in range(1, 6)]


@every_destination
async def test_the_probe_has_no_effect_and_says_what_it_saw(connector: Connector, tmp_path: Path) -> None:
    bench = DESTINATION_BENCHES[connector.kind](tmp_path)
    async with bench.partner() as options, opened(connector, tmp_path, options) as destination:
        assert await destination.probe()

    assert bench.received() == []


@every_destination
async def test_close_may_be_called_twice(connector: Connector, tmp_path: Path) -> None:
    bench = DESTINATION_BENCHES[connector.kind](tmp_path)
    async with bench.partner() as options, opened(connector, tmp_path, options) as destination:
        await destination.send(envelope(1))
        await destination.close()
        await destination.close()


@every_destination
async def test_a_partner_that_is_not_there_is_worth_another_try(connector: Connector, tmp_path: Path) -> None:
    """Opening may find out already, where what is missing is on our side of the wire."""
    bench = DESTINATION_BENCHES[connector.kind](tmp_path)
    with pytest.raises((Transient, ConfigError, OSError)) as caught:
        await probe_and_send(connector, tmp_path, bench.absent())

    assert "DOE" not in str(caught.value)


async def probe_and_send(connector: Connector, folder: Path, options: dict[str, Any]) -> None:
    async with opened(connector, folder, options) as destination:
        with pytest.raises(DeliveryError):
            await destination.probe()
        await destination.send(envelope(1))

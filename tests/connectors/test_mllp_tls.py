"""TLS and mutual TLS, both directions, with an authority of the test's own."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.connectors import mllp_destination, mllp_source
from hcsyncd.connectors.mllp_destination import MllpDestination, MllpDestinationOptions
from hcsyncd.connectors.mllp_source import MllpSource, MllpSourceOptions
from hcsyncd.connectors.tls import TlsClientOptions, TlsServerOptions, client_context, peer_name, server_context
from hcsyncd.errors import ConfigError, SourceError, Transient
from hcsyncd.events import (
    CertificateRefused,
    CertificateReloaded,
    CertificateSeen,
    ConnectionOpened,
    ConnectionRefused,
)
from hcsyncd.message import Envelope
from tests.fakes.authority import Authority, Credentials
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_peer import MllpSender, ScriptedReceiver, adt, frame
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake()


Listen = Callable[..., Awaitable[MllpSource]]


@pytest.fixture
async def listen(
    tmp_path: Path, authority: Authority, events: RecordedEvents, intake: RecordingIntake
) -> AsyncIterator[Listen]:
    authority.issue("listener")
    async with AsyncExitStack() as stack:

        async def start(options: dict[str, Any] | None = None, **tls: Any) -> MllpSource:
            given = TlsServerOptions(**{"certificate": "listener.pem", "key": "listener.key", **tls})
            source: MllpSource = mllp_source.CONNECTOR.build(
                MllpSourceOptions(port=0, tls=given, **(options or {})), make_seat(tmp_path, events)
            )
            await source.start()
            run = asyncio.create_task(source.run(intake))
            stack.push_async_callback(finish, source, run)
            return source

        yield start


async def finish(source: MllpSource, run: asyncio.Task[None]) -> None:
    async with asyncio.timeout(10):
        await source.stop()
        await run


def trusting(
    authority: Authority, credentials: Credentials | None = None, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if newest is not None:
        context.maximum_version = newest
    if credentials is not None:
        context.load_cert_chain(credentials.certificate, credentials.key)
    return context


def envelope(control_id: str = "1") -> Envelope:
    return Envelope(1, 1, adt(control_id), "text/plain", control_id)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_listener_speaks_tls(
    listen: Listen, authority: Authority, intake: RecordingIntake, version: ssl.TLSVersion
) -> None:
    source = await listen()
    sender = await MllpSender.connect(source.address, trusting(authority, newest=version))
    for number in range(3):
        assert (await sender.ask(adt(str(number)))).endswith(f"MSA|AA|{number}\r".encode())
    await sender.close()

    assert "tls_client" not in intake.arrivals[0].facts


async def test_many_frames_and_large_ones_pass_through_tls(
    listen: Listen, authority: Authority, intake: RecordingIntake
) -> None:
    source = await listen()
    sender = await MllpSender.connect(source.address, trusting(authority))
    bodies = [adt(str(number), "X" * 40_000) for number in range(50)]
    writing = asyncio.create_task(sender.write(b"".join(frame(body) for body in bodies)))
    for number in range(50):
        assert (await sender.reply()).endswith(f"MSA|AA|{number}\r".encode())
    await writing
    await sender.close()

    assert intake.bodies == bodies


async def test_tls_12_can_be_ruled_out(listen: Listen, authority: Authority, events: RecordedEvents) -> None:
    source = await listen(min_version="1.3")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await MllpSender.connect(source.address, trusting(authority, newest=ssl.TLSVersion.TLSv1_2))
    await until(lambda: [event.reason for event in events.of(ConnectionRefused)] == ["tls"])


async def test_the_name_of_a_client_certificate_is_a_wire_fact(
    listen: Listen, authority: Authority, intake: RecordingIntake
) -> None:
    source = await listen(client_ca=authority.file.name)
    client = authority.issue("pas.hospital.example")
    sender = await MllpSender.connect(source.address, trusting(authority, client))
    await sender.ask(adt("1"))
    await sender.close()

    assert intake.arrivals[0].facts["tls_client"] == "pas.hospital.example"


async def test_when_a_client_certificate_expires_is_told(
    listen: Listen, authority: Authority, events: RecordedEvents
) -> None:
    source = await listen(client_ca=authority.file.name)
    sender = await MllpSender.connect(source.address, trusting(authority, authority.issue("pas.hospital.example")))
    await sender.ask(adt("1"))
    await sender.close()
    (seen,) = events.of(CertificateSeen)
    assert seen.name == "pas.hospital.example"
    assert 0 < seen.expires_at / 1e6 - time.time() < 2 * 86_400


async def test_a_client_certificate_without_a_common_name_gives_its_alternative_name(
    listen: Listen, authority: Authority, intake: RecordingIntake
) -> None:
    source = await listen(client_ca=authority.file.name)
    client = authority.issue("lab.hospital.example", common_name=False)
    sender = await MllpSender.connect(source.address, trusting(authority, client))
    await sender.ask(adt("1"))
    await sender.close()

    assert intake.arrivals[0].facts["tls_client"] == "lab.hospital.example"


async def refused(sender: MllpSender) -> bool:
    """Whether the other side hangs up: in TLS 1.3 a client learns of it only when it reads."""
    try:
        return await sender.ask(adt("1")) == b""
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return True


async def test_a_client_without_a_certificate_is_turned_away(
    listen: Listen, authority: Authority, events: RecordedEvents, intake: RecordingIntake
) -> None:
    source = await listen(client_ca=authority.file.name)
    sender = await MllpSender.connect(source.address, trusting(authority))

    assert await refused(sender)
    assert [event.reason for event in events.of(ConnectionRefused)] == ["tls"]
    assert events.of(ConnectionOpened) == []
    assert intake.arrivals == []
    await sender.close()


async def test_a_client_of_another_authority_is_turned_away(
    listen: Listen, authority: Authority, events: RecordedEvents, tmp_path: Path
) -> None:
    source = await listen(client_ca=authority.file.name)
    stranger = Authority(tmp_path, "Other Authority").issue("stranger")
    sender = await MllpSender.connect(source.address, trusting(authority, stranger))

    assert await refused(sender)
    assert [event.reason for event in events.of(ConnectionRefused)] == ["tls"]
    await sender.close()


async def test_a_client_certificate_can_be_optional(
    listen: Listen, authority: Authority, intake: RecordingIntake
) -> None:
    source = await listen(client_ca=authority.file.name, client_certificate="optional")
    sender = await MllpSender.connect(source.address, trusting(authority))
    await sender.ask(adt("1"))
    await sender.close()

    assert "tls_client" not in intake.arrivals[0].facts


async def test_plain_text_to_a_tls_listener_is_refused(listen: Listen, events: RecordedEvents) -> None:
    source = await listen()
    sender = await MllpSender.connect(source.address)
    await sender.write(frame(adt("1")))
    await until(lambda: [event.reason for event in events.of(ConnectionRefused)] == ["tls"])
    await sender.close()


async def test_a_peer_that_may_not_come_in_is_cut_before_the_handshake(
    listen: Listen, authority: Authority, events: RecordedEvents
) -> None:
    source = await listen({"allow": ["10.0.0.0/8"]})
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await MllpSender.connect(source.address, trusting(authority))

    assert [event.reason for event in events.of(ConnectionRefused)] == ["not-allowed"]


async def test_stop_does_not_wait_for_a_handshake(listen: Listen, events: RecordedEvents) -> None:
    source = await listen({"max_connections": 1})
    silent = await MllpSender.connect(source.address)
    second = await MllpSender.connect(source.address)
    await until(lambda: [event.reason for event in events.of(ConnectionRefused)] == ["too-many"])
    async with asyncio.timeout(5):
        await source.stop()

    assert await gone(silent)
    await silent.close()
    await second.close()


async def gone(sender: MllpSender) -> bool:
    try:
        return await sender.rest() == b""
    except ConnectionError:
        return True


async def test_renewed_certificates_are_used_for_new_connections(
    listen: Listen, authority: Authority, events: RecordedEvents, tmp_path: Path
) -> None:
    source = await listen()
    before = await MllpSender.connect(source.address, trusting(authority))
    renewed = authority.issue("renewed.example")
    shutil.copy(renewed.key, tmp_path / "listener.key")
    shutil.copy(renewed.certificate, tmp_path / "listener.pem")

    after = await MllpSender.connect(source.address, trusting(authority))
    assert peer_name(after.writer.get_extra_info("peercert")) == "renewed.example"
    assert peer_name(before.writer.get_extra_info("peercert")) == "listener"
    assert len(events.of(CertificateReloaded)) == 1
    await before.ask(adt("1"))  # the old connection goes on
    await before.close()
    await after.close()


async def test_renewed_certificates_that_will_not_load_leave_the_old_ones_in_use(
    listen: Listen, authority: Authority, events: RecordedEvents, tmp_path: Path
) -> None:
    source = await listen()
    (tmp_path / "listener.pem").write_text("half a certifi")
    for _ in range(2):
        sender = await MllpSender.connect(source.address, trusting(authority))
        assert peer_name(sender.writer.get_extra_info("peercert")) == "listener"
        await sender.close()

    [event] = events.of(CertificateRefused)  # told of once
    assert event.channel == "adt_in"
    assert "listener.pem" in event.error


Send = Callable[..., Awaitable[MllpDestination]]


@pytest.fixture
async def connect(tmp_path: Path, events: RecordedEvents) -> AsyncIterator[Send]:
    async with AsyncExitStack() as stack:

        async def build(port: int, host: str = "localhost", **tls: Any) -> MllpDestination:
            options = MllpDestinationOptions(host=host, port=port, tls=TlsClientOptions(**tls), reconnect_secs=0)
            destination: MllpDestination = mllp_destination.CONNECTOR.build(options, make_seat(tmp_path, events))
            await destination.open()
            stack.push_async_callback(destination.close)
            return destination

        yield build


def serving(authority: Authority, name: str = "localhost", *, mutual: bool = False) -> ssl.SSLContext:
    credentials = authority.issue(name, file=f"receiver-{name}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(credentials.certificate, credentials.key)
    if mutual:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_destination_speaks_tls(connect: Send, authority: Authority) -> None:
    async with ScriptedReceiver(context=serving(authority)) as receiver:
        destination = await connect(receiver.port, ca=authority.file.name)
        assert (await destination.send(envelope())).detail == "AA"
        seen = await destination.probe()
        await destination.close()

    assert seen == f"connected to localhost:{receiver.port} with TLSv1.3, certificate of localhost"


async def test_a_destination_shows_its_certificate(connect: Send, authority: Authority) -> None:
    authority.issue("engine")
    async with ScriptedReceiver(context=serving(authority, mutual=True)) as receiver:
        destination = await connect(receiver.port, ca=authority.file.name, certificate="engine.pem", key="engine.key")
        assert (await destination.send(envelope())).detail == "AA"
        await destination.close()


async def test_a_receiver_that_wants_a_certificate_and_gets_none(connect: Send, authority: Authority) -> None:
    async with ScriptedReceiver(context=serving(authority, mutual=True)) as receiver:
        destination = await connect(receiver.port, ca=authority.file.name)
        with pytest.raises(Transient) as caught:
            await destination.send(envelope())
        assert caught.value.reason in ("connection-lost", "connect-failed", "tls-failed")
        assert receiver.payloads == []


async def test_a_receiver_of_an_unknown_authority_is_not_trusted(
    connect: Send, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "Other Authority")
    async with ScriptedReceiver(context=serving(other)) as receiver:
        destination = await connect(receiver.port, ca=authority.file.name)
        with pytest.raises(Transient, match="its certificate is not accepted: ") as caught:
            await destination.send(envelope())
        assert caught.value.reason == "tls-failed"
        assert receiver.payloads == []


async def test_a_receiver_of_another_name_is_not_trusted_unless_that_name_is_expected(
    connect: Send, authority: Authority
) -> None:
    async with ScriptedReceiver(context=serving(authority, "pas.example")) as receiver:
        strict = await connect(receiver.port, ca=authority.file.name, server_name="other.example")
        with pytest.raises(Transient, match=r"certificate is not valid for 'other\.example'"):
            await strict.send(envelope())
        told = await connect(receiver.port, ca=authority.file.name, server_name="pas.example")
        assert (await told.send(envelope())).detail == "AA"
        await told.close()


async def test_verification_can_be_switched_off_by_name(connect: Send, authority: Authority) -> None:
    async with ScriptedReceiver(context=serving(authority, "pas.example")) as receiver:
        destination = await connect(receiver.port, "127.0.0.1", verify=False)
        assert (await destination.send(envelope())).detail == "AA"
        assert "certificate of unverified" in await destination.probe()
        await destination.close()


async def test_tls_to_a_plain_receiver_fails_with_a_reason(connect: Send, authority: Authority) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is no TLS\r\n")
        await reader.read()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        hung_up.set()

    hung_up = asyncio.Event()
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    destination = await connect(server.sockets[0].getsockname()[1], "127.0.0.1", ca=authority.file.name)
    with pytest.raises(Transient, match="TLS could not be agreed on") as caught:
        await destination.send(envelope())
    server.close()
    await hung_up.wait()

    assert caught.value.reason == "tls-failed"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"certificate": "absent.pem"}, r"tls\.certificate: cannot read .*absent\.pem: No such file or directory"),
        ({"certificate": "a.pem", "key": "absent.key"}, r"tls\.key: cannot read .*absent\.key: No such file"),
        ({"certificate": "a.pem", "key": "b.key"}, r"tls\.key: .*b\.key is not the key of the certificate in .*a\.pem"),
        ({"certificate": "a.pem"}, r"tls\.certificate: .*a\.pem must hold a certificate and its private key"),
        ({"certificate": "text", "key": "a.key"}, r"tls\.key: .*text and .*a\.key must hold a certificate and its"),
        ({"certificate": "locked.pem", "key": "locked.key"}, r"tls\.key: .*locked\.key cannot be decrypted: set"),
        (
            {"certificate": "locked.pem", "key": "locked.key", "key_password": "wrong"},
            r"tls\.key: .*locked\.key cannot be decrypted: set tls\.key_password",
        ),
        ({"certificate": "a.pem", "key": "a.key", "client_ca": "text"}, r"tls\.client_ca: .*text holds no certificate"),
        ({"certificate": "."}, r"tls\.certificate: cannot read .*: Is a directory"),
    ],
)
def test_files_that_will_not_do(tmp_path: Path, authority: Authority, options: dict[str, str], complaint: str) -> None:
    authority.issue("a")
    authority.issue("b")
    authority.issue("locked", password=b"open sesame")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SourceError, match=complaint):
        server_context(TlsServerOptions.model_validate(options), tmp_path)


def test_an_encrypted_key_and_a_key_in_the_certificate_file(tmp_path: Path, authority: Authority) -> None:
    locked = authority.issue("locked", password=b"open sesame")
    both = tmp_path / "both.pem"
    both.write_bytes(locked.certificate.read_bytes() + locked.key.read_bytes())
    options = TlsServerOptions.model_validate({"certificate": "both.pem", "key_password": "open sesame"})
    server_context(options, tmp_path)

    assert "sesame" not in f"{options!r} {options}"


def test_client_files_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls\.ca: cannot read .*absent\.pem: No such file"):
        client_context(TlsClientOptions(ca="absent.pem"), tmp_path)
    with pytest.raises(ValueError, match="name the certificate that belongs to the key"):
        TlsClientOptions(key="a.key")


def test_the_systems_authorities_are_used_when_none_is_named(tmp_path: Path) -> None:
    context = client_context(TlsClientOptions(), tmp_path)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2

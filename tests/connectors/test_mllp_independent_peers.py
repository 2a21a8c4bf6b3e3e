"""Peers that others wrote: python-hl7's client, server and `mllp_send`, and two Node libraries."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

import hl7
import hl7.mllp
import pytest

from hcsyncd.connectors import mllp_destination, mllp_source
from hcsyncd.connectors.mllp_destination import MllpDestinationOptions
from hcsyncd.connectors.mllp_source import MllpSourceOptions
from hcsyncd.errors import Refused
from hcsyncd.message import Envelope, Sent
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_peer import adt
from tests.fakes.seats import RecordedEvents, make_seat

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "tests" / "peers"
MLLP_SEND = "from hl7.client import mllp_send; mllp_send()"  # what the script of that name runs

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@asynccontextmanager
async def listening(folder: Path, intake: RecordingIntake) -> AsyncIterator[int]:
    """A running listener; its port."""
    source = mllp_source.CONNECTOR.build(MllpSourceOptions(port=0), make_seat(folder, RecordedEvents()))
    await source.start()
    run = asyncio.create_task(source.run(intake))
    try:
        yield int(source.address.rpartition(":")[2])
    finally:
        await source.stop()
        await run


async def deliver(folder: Path, port: int, bodies: list[bytes], window: int = 1) -> list[Sent | BaseException]:
    """Send the bodies on one connection, ``window`` of them without waiting for an answer."""
    options = MllpDestinationOptions(host="127.0.0.1", port=port)
    destination = mllp_destination.CONNECTOR.build(options, make_seat(folder, RecordedEvents()))
    await destination.open()
    try:
        results: list[Sent | BaseException] = []
        for start in range(0, len(bodies), window):
            some = bodies[start : start + window]
            sends = (destination.send(Envelope(1, 1, body, "text/plain", "key")) for body in some)
            results += await asyncio.gather(*sends, return_exceptions=True)
        return results
    finally:
        await destination.close()


def details(results: list[Sent | BaseException]) -> list[str]:
    return [result.detail if isinstance(result, Sent) else repr(result) for result in results]


# python-hl7


async def test_the_client_of_python_hl7(tmp_path: Path) -> None:
    intake = RecordingIntake()
    async with listening(tmp_path, intake) as port:
        reader, writer = await hl7.mllp.open_hl7_connection("127.0.0.1", port, encoding="utf-8")
        for number in range(3):
            writer.writemessage(hl7.parse(adt(str(number)).decode()))
            await writer.drain()
            answer = await reader.readmessage()
            assert [str(answer.segment("MSA")[field]) for field in (1, 2)] == ["AA", str(number)]
        writer.close()
        await writer.wait_closed()

    assert intake.bodies == [adt(str(number)) for number in range(3)]


async def test_the_server_of_python_hl7(tmp_path: Path) -> None:
    received: list[str] = []

    async def handle(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                received.append(str(message))
                code = "AE" if "WRONG" in str(message) else "AA"
                writer.writeblock(f"MSH|^~\\&|P\rMSA|{code}|{message.segment('MSH')[10]}\r".encode())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()
            done.set()

    done = asyncio.Event()
    server = await hl7.mllp.start_hl7_server(handle, host="127.0.0.1", port=0, encoding="utf-8")
    port = server.sockets[0].getsockname()[1]
    results = await deliver(tmp_path, port, [adt("1"), adt("2", "WRONG"), adt("3", "MÜLLER")], window=3)
    await done.wait()
    server.close()

    assert details([results[0], results[2]]) == ["AA", "AA"]
    assert isinstance(results[1], Refused)
    assert received == [adt("1").decode(), adt("2", "WRONG").decode(), adt("3", "MÜLLER").decode()]


async def test_mllp_send(tmp_path: Path) -> None:
    """It reads once, 4096 bytes at most, and takes that for the whole acknowledgement."""
    intake = RecordingIntake()
    files = tmp_path / "messages.hl7"
    files.write_bytes(adt("1") + b"\r" + adt("2") + b"\r")
    async with listening(tmp_path, intake) as port:
        code, output, errors = await run(
            [sys.executable, "-c", MLLP_SEND, "--loose", "--file", str(files), "-p", str(port), "127.0.0.1"]
        )

    assert code == 0, errors
    assert [body.rstrip() for body in intake.bodies] == [adt("1").rstrip(), adt("2").rstrip()]
    assert "MSA|AA|1" in output
    assert "MSA|AA|2" in output


# Node


@dataclass(frozen=True)
class Node:
    """Node and a folder with the peers installed."""

    program: str
    folder: Path

    async def run(self, script: str, *arguments: str) -> list[dict[str, str]]:
        """Run a peer script; the JSON objects that it printed, one a line."""
        code, output, errors = await run(self.command(script, *arguments), {"NODE_PATH": str(self.modules)})
        assert code == 0, errors
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    def command(self, script: str, *arguments: str) -> list[str]:
        return [self.program, str(PEERS / script), *arguments]

    @property
    def modules(self) -> Path:
        return self.folder / "node_modules"


@pytest.fixture(scope="session")
def node() -> Node:
    """The pinned Node peers, installed once into HCSYNCD_PEERS (default: .cache/peers in the checkout)."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("the Node peers need node and npm on the path")
    folder = Path(os.environ.get("HCSYNCD_PEERS") or ROOT / ".cache" / "peers")
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        wanted = (PEERS / "package-lock.json").read_bytes()
        mark = folder / "installed"
        if not mark.exists() or mark.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PEERS / name, folder / name)
            install(npm, folder)
            mark.write_bytes(wanted)
    return Node(program, folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Tests run in several processes, and only one of them may install."""
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def install(npm: str, folder: Path) -> None:
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the Node peers could not be installed: npm ci took more than 50 s")
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.startswith(("npm error", "npm ERR!"))]
        pytest.skip(f"the Node peers could not be installed: npm ci failed: {'; '.join(complaints[:2])}")


async def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env={**os.environ, **(environment or {})}
    )
    try:
        async with asyncio.timeout(30):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def serving(node: Node, script: str) -> AsyncIterator[int]:
    """A Node server; its port."""
    process = await asyncio.create_subprocess_exec(
        *node.command(script), stdin=PIPE, stdout=PIPE, env={**os.environ, "NODE_PATH": str(node.modules)}
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            yield json.loads(await process.stdout.readline())["port"]
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("script", ["simple_hl7_client.js", "node_hl7_client.js"])
async def test_a_node_client(node: Node, tmp_path: Path, script: str) -> None:
    intake = RecordingIntake()
    async with listening(tmp_path, intake) as port:
        answers = await node.run(script, str(port))

    assert answers == [{"code": "AA", "id": "N1"}, {"code": "AA", "id": "N2"}]
    assert [body.split(b"|")[9] for body in intake.bodies] == [b"N1", b"N2"]


@pytest.mark.parametrize("script", ["simple_hl7_server.js", "node_hl7_server.js"])
async def test_a_node_server(node: Node, tmp_path: Path, script: str) -> None:
    async with serving(node, script) as port:
        results = await deliver(tmp_path, port, [adt("1"), adt("2")])

    assert details(results) == ["AA", "AA"]

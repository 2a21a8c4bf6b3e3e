"""The control socket: who may use it, what it answers, and what it makes of nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import uvloop

from hcsyncd.errors import CommandRefused, ConfigError, ControlError, DaemonAbsent
from hcsyncd.events import ControlFailed, ControlRefused, ControlUsed, Event
from hcsyncd.message import MessageState
from hcsyncd.runtime.control import ControlServer, call, may_command, socket_path
from hcsyncd.runtime.verb import Access, Caller, Request, Verb


@dataclass(frozen=True, slots=True)
class Place:
    file: str
    line: int
    state: MessageState
    body: bytes
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"peer": "127.0.0.1"}))


def quiet(_: Event) -> None:
    """For servers whose events do not matter."""


class Words(Request, frozen=True):
    """What a scripted verb may be given."""

    text: str = ""
    n: int = 0
    size: int = 0


async def echo(asked: Words, caller: Caller) -> dict[str, Any]:
    said = {"text": asked.text, "n": asked.n}
    return {name: value for name, value in said.items() if value}


async def place(asked: Words, caller: Caller) -> list[Place]:
    return [Place("routes.yaml", 3, MessageState.DEAD, b"\x00\xff")]


async def refuse(asked: Words, caller: Caller) -> None:
    raise ControlError("there is no message 17")


async def reload(asked: Words, caller: Caller) -> None:
    raise ConfigError("the site has errors", (Place("routes.yaml", 3, MessageState.DEAD, b""),))


async def fail(asked: Words, caller: Caller) -> None:
    raise KeyError("PID|1||secret-patient")


async def large(asked: Words, caller: Caller) -> str:
    return "x" * asked.size


VERBS: dict[str, Verb[Any]] = {
    "echo": Verb(Words, echo, Access.SEES),
    "place": Verb(Words, place),
    "refuse": Verb(Words, refuse),
    "reload": Verb(Words, reload),
    "fail": Verb(Words, fail),
    "large": Verb(Words, large),
}


@dataclass
class Running:
    server: ControlServer
    path: Path
    events: list[Event]

    async def call(self, verb: str, args: dict[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(call, self.path, verb, args)

    async def raw(self, sent: bytes, *, end: bool = False) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(sent)
        if end:
            writer.write_eof()
        answer = await reader.readline()
        writer.close()
        return answer


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    events: list[Event] = []
    path = socket_path(tmp_path / "var")
    server = ControlServer(path, VERBS, events.append, max_line_bytes=100_000)
    await server.start()
    yield Running(server, path, events)
    await server.stop()


async def test_only_the_owner_can_reach_the_socket(running: Running) -> None:
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(running.path.parent.stat().st_mode) == 0o700


async def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    server = ControlServer(socket_path(data), {}, quiet)
    await server.start()
    await server.stop()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_only_our_user_and_root_may_command() -> None:
    assert may_command(0)
    assert may_command(os.geteuid())
    assert not may_command(os.geteuid() + 12345)


async def test_another_user_is_turned_away_by_the_kernels_word(tmp_path: Path) -> None:
    events: list[Event] = []
    asked: list[int] = []

    def nobody(user_id: int) -> bool:
        asked.append(user_id)
        return False

    server = ControlServer(tmp_path / "control.sock", VERBS, events.append, permitted=nobody)
    await server.start()
    with pytest.raises(CommandRefused, match="may not command") as refused:
        await asyncio.to_thread(call, tmp_path / "control.sock", "echo", {"text": "y" * 1_000_000})
    await server.stop()
    assert refused.value.reason in {"not-permitted", "connection"}
    assert asked == [os.geteuid()]
    assert events == [ControlRefused(user_id=os.geteuid())]


async def test_a_result_comes_back_and_the_use_is_an_event(running: Running) -> None:
    assert await running.call("echo", {"text": "Größe", "n": 1}) == {"text": "Größe", "n": 1}
    assert running.events == [ControlUsed(verb="echo", user_id=os.geteuid(), access="sees")]


async def test_records_become_json(running: Running) -> None:
    assert await running.call("place") == [
        {"file": "routes.yaml", "line": 3, "state": "dead", "body": "AP8=", "facts": {"peer": "127.0.0.1"}}
    ]


async def test_a_refusal_carries_code_text_and_findings(running: Running) -> None:
    with pytest.raises(CommandRefused, match="there is no message 17") as refused:
        await running.call("refuse")
    assert refused.value.reason == "control"
    with pytest.raises(CommandRefused) as refused:
        await running.call("reload")
    assert refused.value.reason == "config"
    assert refused.value.details == (
        {"file": "routes.yaml", "line": 3, "state": "dead", "body": "", "facts": {"peer": "127.0.0.1"}},
    )


async def test_a_fault_of_ours_is_told_without_its_text(running: Running) -> None:
    with pytest.raises(CommandRefused, match=r"KeyError at test_control\.py") as refused:
        await running.call("fail")
    assert refused.value.reason == "internal"
    assert "secret-patient" not in str(refused.value)
    failed = running.events[-1]
    assert isinstance(failed, ControlFailed)
    assert failed.code == "internal"
    assert "secret-patient" not in repr(failed)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"not json\n", "bad-request"),
        (b"\xff\xfe\x00\n", "bad-request"),
        (b"[]\n", "bad-request"),
        (b'{"verb": 7}\n', "bad-request"),
        (b'{"verb": "echo", "args": []}\n', "bad-request"),
        (b'{"verb": "nope"}\n', "unknown-verb"),
        (b"x" * 200_000 + b"\n", "too-large"),
    ],
)
async def test_nonsense_is_refused_and_the_server_lives_on(running: Running, sent: bytes, code: str) -> None:
    assert json.loads(await running.raw(sent))["code"] == code
    assert await running.call("echo", {}) == {}


async def test_half_a_request_and_a_hang_up_is_no_harm(running: Running) -> None:
    assert json.loads(await running.raw(b'{"verb": "ech', end=True))["code"] == "bad-request"
    assert await running.raw(b"", end=True) == b""
    assert await running.call("echo") == {}


async def test_several_commands_over_one_connection(running: Running) -> None:
    reader, writer = await asyncio.open_unix_connection(str(running.path))
    writer.write(b'{"verb":"echo","args":{"n":1}}\n\n{"verb":"refuse"}\n{"verb":"echo","args":{"n":2}}\n')
    answers = [json.loads(await reader.readline()) for _ in range(3)]
    writer.close()
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert answers[2]["result"] == {"n": 2}


async def test_a_result_over_the_cap_is_refused_with_advice(running: Running) -> None:
    assert len(await running.call("large", {"size": 99_000})) == 99_000
    with pytest.raises(CommandRefused, match="ask for less") as refused:
        await running.call("large", {"size": 100_001})
    assert refused.value.reason == "too-large"


async def test_a_slow_command_does_not_hold_up_others(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(asked: Words, caller: Caller) -> str:
        await release.wait()
        return "slow"

    server = ControlServer(tmp_path / "control.sock", {**VERBS, "slow": Verb(Words, slow)}, quiet)
    await server.start()
    first = asyncio.create_task(asyncio.to_thread(call, tmp_path / "control.sock", "slow"))
    others = await asyncio.gather(
        *(asyncio.to_thread(call, tmp_path / "control.sock", "echo", {"n": n}) for n in range(1, 11))
    )
    assert others == [{"n": n} for n in range(1, 11)]
    assert not first.done()
    release.set()
    assert await first == "slow"
    await server.stop()


async def test_the_client_gives_up_on_a_silent_daemon(tmp_path: Path) -> None:
    async def never(asked: Words, caller: Caller) -> None:
        await asyncio.Event().wait()

    server = ControlServer(tmp_path / "control.sock", {"never": Verb(Words, never)}, quiet)
    await server.start()
    with pytest.raises(CommandRefused, match="not answered never within") as refused:
        await asyncio.to_thread(call, tmp_path / "control.sock", "never", None, 0.05)
    assert refused.value.reason == "timeout"
    await server.stop(grace_secs=0.01)


async def test_a_stop_lets_the_command_in_hand_end_and_closes_idle_connections(tmp_path: Path) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(asked: Words, caller: Caller) -> str:
        entered.set()
        await release.wait()
        return "done"

    path = tmp_path / "control.sock"
    server = ControlServer(path, {"slow": Verb(Words, slow)}, quiet)
    await server.start()
    idle_reader, idle_writer = await asyncio.open_unix_connection(str(path))
    busy = asyncio.create_task(asyncio.to_thread(call, path, "slow"))
    await entered.wait()
    stopping = asyncio.create_task(server.stop())
    assert await idle_reader.read() == b""
    assert not path.exists()
    release.set()
    assert await busy == "done"
    await stopping
    await server.stop()
    idle_writer.close()


async def test_a_killed_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    server = ControlServer(path, VERBS, quiet)
    await server.start()
    assert await asyncio.to_thread(call, path, "echo", {"n": 1}) == {"n": 1}
    await server.stop()


async def test_a_second_daemon_is_refused_and_the_first_goes_on(running: Running) -> None:
    second = ControlServer(running.path, {}, quiet)
    with pytest.raises(ControlError, match=rf"another daemon \(process {os.getpid()}\) runs"):
        await second.start()
    await second.stop()
    assert await running.call("echo") == {}


async def test_a_successors_socket_is_left_alone_at_the_stop(running: Running) -> None:
    running.path.unlink()
    successor = ControlServer(running.path, VERBS, quiet)
    await successor.start()
    await running.server.stop()
    assert await running.call("echo") == {}
    await successor.stop()


async def test_something_else_at_the_path_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("mine")
    server = ControlServer(tmp_path / "control.sock", VERBS, quiet)
    with pytest.raises(ControlError, match="is in the way"):
        await server.start()
    assert (tmp_path / "control.sock").read_text() == "mine"


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = ControlServer(tmp_path / "file" / "control.sock", VERBS, quiet)
    with pytest.raises(ControlError, match=r"cannot open the control socket .*file/control\.sock"):
        await server.start()


async def test_a_folder_too_deep_for_a_unix_address(tmp_path: Path) -> None:
    path = socket_path(tmp_path / ("d" * 100) / ("e" * 100))
    server = ControlServer(path, VERBS, quiet)
    await server.start()
    assert path.is_socket()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await asyncio.to_thread(call, path, "echo", {"n": 1}) == {"n": 1}
    with pytest.raises(ControlError, match="another daemon"):
        await ControlServer(path, VERBS, quiet).start()
    await server.stop()
    assert not path.exists()
    with pytest.raises(DaemonAbsent):
        call(path, "echo")


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    path = tmp_path / ("u" * 120) / "control.sock"

    async def serve() -> Any:
        server = ControlServer(path, VERBS, quiet)
        await server.start()
        result = await asyncio.to_thread(call, path, "echo", {"n": 1})
        await server.stop()
        return result

    assert uvloop.run(serve()) == {"n": 1}
    assert not path.exists()


@pytest.mark.parametrize("prepare", [lambda _: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_nobody_there(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "var")
    with pytest.raises(DaemonAbsent, match=r"no daemon runs on .*hcsyncd run"):
        call(socket_path(tmp_path / "var"), "status")


def test_a_daemon_that_ends_before_it_answers(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        peer = threading.Thread(target=hang_up)
        peer.start()
        with pytest.raises(CommandRefused, match="before it answered status"):
            call(path, "status")
        peer.join()

"""A small hospital on loopback: the daemon on a copy of a site, with stand-ins for the systems around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hcsyncd
from hcsyncd.errors import DaemonAbsent, HcsyncdError
from hcsyncd.runtime.control import call, socket_path
from hcsyncd.simulators.receiver import EventReceiver, MllpReceiver

SITE_PARTS = ("hcsyncd.yaml", "routes.yaml", "channels", "transforms", "mapping")
START_SECS = 20.0
STOP_SECS = 10.0
POLL_SECS = 0.05
REPLAY_SECS = 30.0
QUIET_SECS = 0.3  # without any change
LOG_LINES = 20


class DaemonFailed(HcsyncdError):
    """The daemon did not come up or did not get on with its work. The text ends with the last lines of its log."""

    code = "daemon-failed"


@dataclass(frozen=True, slots=True)
class Hospital:
    """Everything that runs, and where."""

    site: Path
    data: Path
    log: Path
    process: asyncio.subprocess.Process
    events: EventReceiver
    bed_board: MllpReceiver

    async def ask(self, verb: str, args: Mapping[str, Any] | None = None) -> Any:
        """Have the daemon carry out an operator's verb."""
        return await asyncio.to_thread(call, socket_path(self.data), verb, args)

    async def address(self, channel: str) -> str:
        """Where a channel listens or looks: ``127.0.0.1:40001``, a folder."""
        return next(str(known["address"]) for known in await self.ask("channels") if known["name"] == channel)

    async def wait(self, what: str, timeout_secs: float, ready: Mapping[str, frozenset[str]]) -> Mapping[str, Any]:
        """Poll the daemon's counts until no message or delivery is in the states named; the status seen then."""
        deadline = asyncio.get_running_loop().time() + timeout_secs
        while True:
            status: dict[str, Any] = await self.ask("status")
            counts = status["counts"]
            if not any(counts.get(kind, {}).get(state) for kind, states in ready.items() for state in states):
                return status
            if asyncio.get_running_loop().time() > deadline:
                raise self.failure(f"{what}: not after {timeout_secs:g} s")
            await asyncio.sleep(POLL_SECS)

    async def quiet(self, what: str, timeout_secs: float) -> Mapping[str, Any]:
        """Poll the daemon's counts until nothing moves any more; the status seen then."""
        deadline = asyncio.get_running_loop().time() + timeout_secs
        before: Mapping[str, Any] = {}
        while True:
            status: dict[str, Any] = await self.ask("status")
            counts = status["counts"]
            moves = counts["messages"]["received"] or counts["deliveries"]["sending"] or counts["deliveries"]["waiting"]
            if not moves and counts == before:
                return status
            if asyncio.get_running_loop().time() > deadline:
                raise self.failure(f"{what}: not after {timeout_secs:g} s")
            before = counts
            await asyncio.sleep(QUIET_SECS)

    async def replay(self, asked: Mapping[str, Any]) -> int:
        """Plan a replay of one message, apply the plan, and wait until it is through; the copy."""
        replay_id = (await self.ask("replays.plan", asked))["id"]
        await self._until_replay_is(replay_id, "planned")
        await self.ask("replays.apply", {"id": replay_id})
        await self._until_replay_is(replay_id, "done")
        copy_id: int = (await self.ask("replays.items", {"id": replay_id}))[0]["copy_id"]
        return copy_id

    async def _until_replay_is(self, replay_id: int, state: str) -> None:
        deadline = asyncio.get_running_loop().time() + REPLAY_SECS
        while (await self.ask("replays.show", {"id": replay_id}))["replay"]["state"] != state:
            if asyncio.get_running_loop().time() > deadline:
                raise self.failure(f"replay {replay_id} is not {state} after {REPLAY_SECS:g} s")
            await asyncio.sleep(POLL_SECS)

    def failure(self, text: str) -> DaemonFailed:
        """The error to raise when the daemon does not do what it should."""
        return _failure(text, self.log)


@contextlib.asynccontextmanager
async def open_hospital(site: Path) -> AsyncIterator[Hospital]:
    """Copy the site into a temporary folder and start everything on free ports; take all of it down at the end, however
    the end comes about. Raises DaemonFailed when the daemon does not come up or does not stop."""
    with TemporaryDirectory(prefix="hcsyncd-demo-") as folder:
        copy = Path(folder) / "site"
        copy_site(site, copy)
        async with EventReceiver() as events, MllpReceiver() as bed_board:
            ports = {
                "HCSYNCD_DATA": "var",
                "HCSYNCD_HTTP_PORT": "0",
                "ADT_IN_PORT": "0",
                "ADT_FILES": "var/adt_files",
                "EVENTS_URL": events.url,
                "RELAY_PORT": str(bed_board.port),
                "WARD_LISTS": "var/ward_lists",
            }
            log = Path(folder) / "daemon.log"
            with log.open("wb") as stream:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "hcsyncd", "run", "--site", str(copy)),
                    env={**os.environ, **ports, "PYTHONPATH": _python_path()},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                )
            try:
                hospital = Hospital(copy, copy / "var", log, process, events, bed_board)
                await _until_ready(hospital)
                yield hospital
            finally:
                await _end(process, log)


def _python_path() -> str:
    """The daemon is to be of this very code, installed or not."""
    package = str(Path(hcsyncd.__file__).parents[1])
    return os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH", "")) if part)


def copy_site(site: Path, to: Path) -> None:
    """Copy what makes a site, and nothing that lies beside it. Raises FileNotFoundError when it is none."""
    to.mkdir()
    for part in SITE_PARTS:
        source = site / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / part)


async def _until_ready(hospital: Hospital) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECS
    while asyncio.get_running_loop().time() < deadline:
        if hospital.process.returncode is not None:
            raise hospital.failure(f"the daemon ended with {hospital.process.returncode} as it was started")
        with contextlib.suppress(DaemonAbsent):
            if not (await hospital.ask("status"))["daemon"]["not_ready"]:
                return
        await asyncio.sleep(POLL_SECS)
    raise hospital.failure(f"the daemon is not ready after {START_SECS:g} s")


async def _end(process: asyncio.subprocess.Process, log: Path) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECS)
    except TimeoutError:
        raise _failure(f"the daemon did not stop within {STOP_SECS:g} s and was killed", log) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _failure(text: str, log: Path) -> DaemonFailed:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return DaemonFailed("\n".join([text, "the daemon's log ends:", *(f"  {line}" for line in lines)]))

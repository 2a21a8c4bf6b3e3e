"""Replays asked of a running daemon from outside, each step waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.fakes.daemon import DaemonProcess

Json = dict[str, Any]


def until(daemon: DaemonProcess, replay_id: int, true: Callable[[Json], object], secs: float = 20.0) -> Json:
    """The replay with its tallies, as soon as it is so."""
    deadline = time.monotonic() + secs
    while not true(found := daemon.call("replays.show", id=replay_id)):
        assert time.monotonic() < deadline, f"{found}\n{daemon.log[-3000:]}"
        time.sleep(0.02)
    shown: Json = found
    return shown


def until_state(daemon: DaemonProcess, replay_id: int, state: str) -> Json:
    return until(daemon, replay_id, lambda found: found["replay"]["state"] == state)


def planned(daemon: DaemonProcess, **ask: Any) -> int:
    """A plan that can be applied; its number."""
    replay_id = int(daemon.call("replays.plan", **ask)["id"])
    until_state(daemon, replay_id, "planned")
    return replay_id


def replayed(daemon: DaemonProcess, **ask: Any) -> Json:
    """Planned, applied, and at its end."""
    replay_id = planned(daemon, **ask)
    daemon.call("replays.apply", id=replay_id)
    return until_state(daemon, replay_id, "done")


def items_of(daemon: DaemonProcess, replay_id: int) -> list[Json]:
    found: list[Json] = daemon.call("replays.items", id=replay_id)
    return found

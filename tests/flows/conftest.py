"""The whole daemon for each test: real sockets, real files, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.daemon import DaemonProcess, write_site
from tests.fakes.mllp_receiver import MllpReceiver

MLLP_IN = "source: {kind: mllp, port: 0}\n"

Start = Callable[..., DaemonProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Write a site and start a daemon on it; given nothing, start another on the site as it is."""
    started: list[DaemonProcess] = []

    def begin(files: dict[str, str] | None = None, **environment: str) -> DaemonProcess:
        if files is not None:
            write_site(tmp_path / "site", files)
        daemon = DaemonProcess(tmp_path / "site", **environment)
        started.append(daemon)
        return daemon.start()

    yield begin
    for daemon in started:
        daemon.stop()


@pytest.fixture
def receiver() -> Iterator[MllpReceiver]:
    listening = MllpReceiver()
    yield listening
    listening.close()


def relay(port: int, **channel: str) -> dict[str, str]:
    """A site that sends what it gets by MLLP on to a port; ``channel`` adds lines to the destination's file."""
    more = "".join(f"{name}: {value}\n" for name, value in channel.items())
    return {
        "channels/adt_in.yaml": MLLP_IN,
        "channels/relay_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {port}}}\n{more}",
        "routes.yaml": "routes:\n  - {name: relay, from: adt_in, to: relay_out}\n",
    }

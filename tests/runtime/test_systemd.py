"""Word to the service manager, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hcsyncd.runtime import systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool) -> None:
    name = f"hcsyncd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        systemd.ready("2 sources")
        systemd.reloading()
        systemd.stopping()
        heard = [manager.recv(4096).decode() for _ in range(3)]
    assert heard[0] == f"READY=1\nSTATUS=2 sources\nMAINPID={os.getpid()}"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2] == "STOPPING=1"


def test_silence_without_a_manager_or_with_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.stopping()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.stopping()


@pytest.mark.parametrize(("usec", "secs"), [("", 0), ("nonsense", 0), ("30000000", 15)])
def test_the_watchdog_is_fed_twice_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, usec: str, secs: float) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert systemd.watchdog_secs() == secs

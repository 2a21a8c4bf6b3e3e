"""What a service manager does to the daemon under load: starts, watches, reloads and stops it, loses patience."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hcsyncd.cli.failure import EXIT_UNUSABLE
from tests.fakes.fault_table import Row
from tests.fakes.moody_receiver import MllpMoody
from tests.fakes.notify_socket import NotifySocket
from tests.fakes.nursery import ForkedDaemon, Nursery
from tests.fakes.road import Road, always
from tests.fakes.tree import ROOT
from tests.faults.conftest import Travel

SENDERS = 3
SECOND_SIGNAL_EXIT = 130


def test_sigterm_under_load(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    way.begin(SENDERS)
    stops = 5
    for _ in range(stops):
        way.until_acknowledged(20)
        assert way.daemon.stop() == 0
        way.daemon.start()
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=16.1,
        fault="SIGTERM under load",
        made="stopped in good order and started again, while senders go on",
        word="`daemon_stopping` with `SIGTERM`, `daemon_stopped` with what is still open; exit code 0",
        recovery="at the next start",
        tries=stops,
    )
    assert row.repeats == 0, "an orderly end leaves nothing in doubt"
    assert way.words("daemon_stopped") == {"daemon_stopped": stops + 1}
    tell(row)


def test_sighup_under_load(road: Travel, tell: Callable[[Row], None]) -> None:
    """Every second file is a broken one: it is refused, and what runs goes on."""
    way = road()
    way.begin(SENDERS)
    routes = way.folder / "routes.yaml"
    text = routes.read_text()
    reloads = 10
    for number in range(1, reloads + 1):
        way.until_acknowledged(10)
        routes.write_text(text + f"# {number}\n" if number % 2 else "routes: [{name: broken}]\n")
        said = way.words("generation_activated", "generation_refused")
        way.daemon.signal(signal.SIGHUP)
        way.until(
            lambda said=said: way.words("generation_activated", "generation_refused").total() > said.total(),  # type: ignore[misc]
            "taken or refused",
        )
    routes.write_text(text)
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=16.2,
        fault="SIGHUP under load",
        made="the configuration is read again, every second time with an error in it",
        word="`generation_activated`, or `generation_refused` with why; what runs goes on",
        recovery="nothing to recover: connections stay, nothing waits",
        tries=reloads,
    )
    assert way.words("generation_activated", "generation_refused") == {
        "generation_activated": 1 + reloads // 2,
        "generation_refused": reloads // 2,
    }
    assert sum(sender.resent for sender in way.senders) == 0, "a connection was lost by a reload"
    assert row.repeats == 0
    tell(row)


def test_a_second_signal_ends_it_at_once(road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]) -> None:
    """A stop waits for the receiver's answer; who asks twice does not."""
    way = road(files={"hcsyncd.yaml": "http: {port: 0}\nworkers: {count: 1}\ndrain_secs: 600\n"})
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(20)
    receiver.slow_secs = 600
    came = receiver.came
    way.until(lambda: receiver.came > came, "one is under way")
    way.daemon.signal(signal.SIGTERM)
    way.until(lambda: way.words("daemon_stopping")["daemon_stopping"], "it stops")
    way.daemon.signal(signal.SIGTERM)
    assert way.daemon.wait() == SECOND_SIGNAL_EXIT
    receiver.slow_secs = 0
    receiver.close()  # and with it whoever still waits
    receiver.open()
    way.daemon.start()
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=16.3,
        fault="a second signal",
        made="SIGTERM while a receiver lets its answer wait, and SIGTERM again",
        word=f"exit code {SECOND_SIGNAL_EXIT} at once",
        recovery="at the next start, as after a kill",
    )
    tell(row)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NotifySocket]:
    listening = NotifySocket(tmp_path / "notify")
    yield listening
    listening.close()


def test_the_service_manager_is_told(
    tmp_path: Path, nursery: Nursery, receiver: MllpMoody, manager: NotifySocket
) -> None:
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    with Road(tmp_path, receiver, breed=lambda site: ForkedDaemon(nursery, site, None, **environment)) as way:
        way.begin(1)
        manager.until("READY=1")
        for _ in range(3):
            manager.until("WATCHDOG=1")
        assert f"MAINPID={way.daemon.pid}" in manager.told
        assert "STATUS=1 sources, 1 destinations" in manager.told
        way.daemon.signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in manager.told)
        manager.until("READY=1")
        way.until_acknowledged(5)
        way.finish()
        manager.until("STOPPING=1")


def test_the_watchdog_hears_nothing_from_a_loop_that_stands_still(
    tmp_path: Path, nursery: Nursery, receiver: MllpMoody, manager: NotifySocket
) -> None:
    """SIGSTOP stands for a loop that does not turn: the manager would kill it and start another."""
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    with Road(tmp_path, receiver, breed=lambda site: ForkedDaemon(nursery, site, None, **environment)) as way:
        way.begin(1)
        manager.until("WATCHDOG=1")
        way.daemon.signal(signal.SIGSTOP)
        try:
            manager.drain()
            with pytest.raises(AssertionError, match="was not told"):
                manager.until("WATCHDOG=1", 0.6)
        finally:
            way.daemon.signal(signal.SIGCONT)
        manager.until("WATCHDOG=1")
        way.finish()


def test_the_unit_fits_the_daemon() -> None:
    """Type, signals and time limits of the unit are those that the daemon is made for."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "systemd/hcsyncd.service")
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["ExecStart"].endswith("/bin/hcsyncd run --site /etc/hcsyncd")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) > 20, "longer than drain_secs is by default"
    assert service["Restart"] == "on-failure"
    assert int(service["LimitNOFILE"]) >= 65536
    assert service["RestartPreventExitStatus"] == str(EXIT_UNUSABLE)
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "a disk that comes back late is still waited for"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "systemd/hcsyncd.service").read_text()
    unit = tmp_path / "hcsyncd.service"
    # The program and its user need not be there for the unit to be right.
    unit.write_text(text.replace("/opt/hcsyncd/bin/hcsyncd", "/bin/true").replace("=hcsyncd\nGroup=hcsyncd", "=root"))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
    )
    about_it = [line for line in (found.stdout + found.stderr).splitlines() if "hcsyncd.service" in line]
    assert about_it == []

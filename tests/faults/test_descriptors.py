"""File descriptors run out: whoever is in is served, whoever knocks is told of, and all is well when some are free."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.fakes.fault_table import Row
from tests.faults.conftest import Travel

SENDERS = 2
SPARE = 12  # descriptors that the daemon has left, beside those it holds


def test_no_descriptor_left_for_a_while(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    way.begin(SENDERS, pause_secs=0.02)
    way.until_acknowledged(20)
    held = len(list(Path(f"/proc/{way.daemon.pid}/fd").iterdir()))
    soft, hard = resource.prlimit(way.daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(way.daemon.pid, resource.RLIMIT_NOFILE, (held + SPARE, hard))
    way.watch.rest()  # it takes a connection for each look
    with ExitStack() as crowd:
        for _ in range(SPARE * 3):
            crowd.enter_context(socket.create_connection(way.address))
        way.until(lambda: way.words("connection_refused")["connection_refused"], "told of")
        way.until_acknowledged(20)
    way.until(lambda: way.is_reachable, "commands are answered again")
    way.watch.go_on()
    resource.prlimit(way.daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=17,
        fault="no file descriptor left",
        made=f"{SPARE} are left, and three times as many connections come in",
        word="`connection_refused` with `no-resources`, once a second",
        recovery="by itself, as soon as connections are closed; those that were in go on all the time",
        tries=SPARE * 3,
    )
    refused = {event["reason"] for event in way.events if event["event"] == "connection_refused"}
    assert refused == {"no-resources"}
    tell(row)

"""kill -9 at random moments under load: no acknowledged message lost, none doubled, no order lost in a lane."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.fakes.fault_table import Row
from tests.faults.conftest import Travel

SENDERS = 4
MORE = 25  # acknowledged between two kills, at least


@pytest.mark.timeout(900)
def test_random_kills_lose_nothing_that_was_acknowledged_and_no_order(
    road: Travel, tell: Callable[[Row], None], deep: bool
) -> None:
    kills = 100 if deep else 15
    way = road()
    way.begin(SENDERS)
    for _ in range(kills):
        way.until_acknowledged(MORE)
        time.sleep(random.uniform(0, 0.2))  # the kill's own moment is what is tried here
        way.daemon.kill()
        way.daemon.start()
    way.until_acknowledged(MORE)
    counts = way.finish()
    started = way.words("daemon_started")["daemon_started"]
    recovered = [event for event in way.events if event["event"] == "daemon_started" and event["recovered_messages"]]
    row = way.account(
        counts,
        place=2,
        fault="kill -9 at random under load",
        made=f"{SENDERS} senders, SIGKILL at a random moment, started again at once",
        word="`daemon_started` with `recovered_messages` and `recovered_deliveries`",
        recovery="at the next start; senders resend what got no answer",
        tries=kills,
    )
    assert started == kills + 1
    assert recovered, "no kill left anything to recover: the load was too small to try anything"
    tell(row)

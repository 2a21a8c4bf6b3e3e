"""A network that is cut for longer than the longest pause between two tries: what waits goes out as soon as it is back,
and not when the pause is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.cut_network import CutNetwork
from tests.fakes.fault_table import Row
from tests.fakes.moody_receiver import MllpMoody
from tests.fakes.road import PLAIN_ROUTE, always
from tests.faults.conftest import Travel

LONG = 3600  # seconds: a test that waited for it would fail


@pytest.mark.timeout(120)
def test_back_at_once_after_a_cut_that_was_longer_than_any_pause(
    road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]
) -> None:
    network = CutNetwork(receiver.port)
    out = f"""\
destination: {{kind: mllp, host: 127.0.0.1, port: {network.port}, ack_timeout_secs: 0.3, connect_timeout_secs: 0.3}}
retry: {{first_secs: 0.1, factor: {LONG * 10}, cap_secs: {LONG}, jitter: 0}}
"""
    way = road(files={"channels/relay_out.yaml": out, "routes.yaml": PLAIN_ROUTE})
    try:
        way.begin(2, kind=always)
        way.until(lambda: len(receiver.took) >= 20, "some are through")
        network.cut()
        way.until_acknowledged(100)
        way.until(lambda: is_waiting_long(way.channel("relay_out")), "tries have ended in the long pause")
        took = len(receiver.took)
        network.mend()
        way.until(lambda: len(receiver.took) > took, "it goes on", 60)
        row = way.account(
            way.finish(),
            place=15,
            fault="network cut for longer than the longest pause",
            made=f"no byte passes and no connection is taken; the next try would be an hour later (`cap_secs: {LONG}`)",
            word="`destination_failed` once with `ack-timeout`, then `connect-timeout`; `destination_recovered` once",
            recovery="by itself, within seconds of its return: whoever could not be reached is knocked at meanwhile",
        )
    finally:
        network.close()
    assert way.words("destination_failed", "destination_recovered") == {
        "destination_failed": 1,
        "destination_recovered": 1,
    }
    assert row.dead == 0
    tell(row)


def is_waiting_long(channel: dict[str, object]) -> bool:
    """The destination's next try is far away."""
    next_try_at, oldest_at = channel["next_try_at"], channel["oldest_at"]
    assert isinstance(next_try_at, int)
    assert isinstance(oldest_at, int)
    return bool(next_try_at) and next_try_at - oldest_at > LONG / 2 * 1e6

"""A wall clock that jumps: nothing waits a day for it, nothing is given up for it, and order stays order of arrival."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.fault_table import Row
from tests.fakes.faulty import Faults
from tests.fakes.moody_receiver import MllpMoody, Mood
from tests.fakes.road import always
from tests.faults.conftest import Travel

DAY = 86_400
SENDERS = 3


@pytest.mark.parametrize(("place", "jump", "word"), [(7.1, DAY, "forward"), (7.2, -DAY, "back")])
def test_a_clock_that_jumps_a_day_under_load_while_a_destination_is_down(
    road: Travel, receiver: MllpMoody, tmp_path: Path, tell: Callable[[Row], None], place: float, jump: int, word: str
) -> None:
    """The retries give up after a day by default: a jump is not a day of trying."""
    wall = tmp_path / "wall"
    way = road(faults=Faults(wall=str(wall)))
    receiver.mood = Mood.FAILS
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(20)
    way.until(lambda: way.channel("relay_out")["health"] == "down", "down")
    wall.write_text(str(jump))
    way.until(lambda: way.words("clock_jumped")["clock_jumped"], "the jump is told")
    tries = receiver.came
    way.until(lambda: receiver.came > tries + SENDERS * 3, "tried again after the jump")
    way.until_acknowledged(20)
    receiver.mood = Mood.TAKES
    way.until_acknowledged(20)
    way.daemon.kill()  # and what the store holds of times is read again
    way.daemon.start()
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=place,
        fault=f"clock jumps {word} by a day",
        made="the wall clock of the process is shifted while deliveries wait for a destination that is down",
        word="`clock_jumped`, with how far",
        recovery="nothing to recover: waits are counted by the monotonic clock, order by id",
    )
    assert row.dead == 0, "given up for a jump"
    tell(row)

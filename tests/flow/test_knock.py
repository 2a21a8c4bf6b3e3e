"""Knocking at a destination that cannot be reached."""

from __future__ import annotations

import asyncio

from hcsyncd.errors import Transient
from hcsyncd.flow.knock import Knock
from tests.fakes.destination import ScriptedDestination
from tests.fakes.waiting import until


async def test_it_is_knocked_at_until_it_is_there_and_then_no_more() -> None:
    there: list[int] = []
    door = ScriptedDestination()
    door.away = Transient("connect-refused", "nobody listens there")
    knock = Knock(lambda: there.append(door.probes), pause_secs=0.001)
    knock.begin(door)
    knock.begin(door)
    await until(lambda: door.probes > 3)
    assert there == []
    door.away = None
    await until(lambda: there)
    probes = door.probes
    await asyncio.sleep(0)
    assert (there, door.probes) == ([probes], probes)


async def test_a_defect_in_a_probe_ends_no_knocking() -> None:
    there: list[bool] = []
    door = ScriptedDestination()
    door.away = ValueError("a defect")
    knock = Knock(lambda: there.append(True), pause_secs=0.001)
    knock.begin(door)
    await until(lambda: door.probes > 2)
    door.away = None
    await until(lambda: there)


async def test_an_end_is_an_end() -> None:
    door = ScriptedDestination()
    door.away = Transient("connect-refused", "nobody listens there")
    knock = Knock(lambda: None, pause_secs=0.001)
    knock.end()
    knock.begin(door)
    await until(lambda: door.probes)
    before = asyncio.all_tasks()
    knock.end()
    await until(lambda: len(asyncio.all_tasks()) < len(before))

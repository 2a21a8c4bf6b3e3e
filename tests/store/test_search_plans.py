"""Every search is led by what narrows it, and never goes through all messages but in bounded steps of ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from hcsyncd.store.conditions import Conditions, leads
from hcsyncd.store.ports import Filter
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.sealing import CLEAR
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents

BY_ID = "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"
IN_STEPS = "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
BY_CONTROL_ID = "SEARCH message USING INDEX message_control_id (control_id=?)"
BY_KEY = "SEARCH business_key USING COVERING INDEX business_key_value (value=? AND name=?)"
BY_COPY = "SEARCH copy USING COVERING INDEX message_replay (replay_of=?)"
MRN = (("mrn", "1"),)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    await (await Store.open(tmp_path, RecordedEvents(), FakeClock())).close()
    opened = apsw.Connection(str(tmp_path / FILE))
    CLEAR.register(opened)
    yield opened
    opened.close()


def plan_of(connection: apsw.Connection, wanted: Filter) -> list[str]:
    """The steps that touch messages and keys, as the search itself asks for them."""
    asked: list[tuple[str, Any]] = []

    def note(_cursor: apsw.Cursor, text: str, values: Any) -> bool:
        asked.append((text, values))
        return True

    conditions = Conditions(CLEAR)
    conditions.add_message_fields(wanted)
    conditions.add_state(wanted)
    connection.exec_trace = note
    conditions.run(connection, QUERIES["message_columns"].text, "message.id", wanted)
    connection.exec_trace = None
    ((text, values),) = asked
    steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    tables = ("message", "business_key", "copy", "delivery")
    return [
        step for step in steps if step.split()[:2] in [[verb, table] for verb in ("SCAN", "SEARCH") for table in tables]
    ]


@pytest.mark.parametrize(
    ("wanted", "plan"),
    [
        (Filter(ids=(1, 2)), [BY_ID]),
        (Filter(ids=(1, 2), control_id="A", state="dead"), [BY_ID]),
        (Filter(keys=MRN), [BY_ID, BY_KEY, BY_KEY, BY_COPY]),
        (Filter(keys=MRN, control_id="A", state="dead", channel="x"), [BY_ID, BY_KEY, BY_KEY, BY_COPY]),
        (Filter(trace=5), [BY_ID, BY_ID, "SEARCH message USING COVERING INDEX message_trace (trace=?)", BY_ID]),
        (Filter(control_id="A"), [BY_CONTROL_ID]),
        (Filter(control_id="A", state="dead", channel="x", since=1), [BY_CONTROL_ID]),
        (Filter(state="received"), ["SEARCH message USING INDEX message_state (state=?)"]),
        (Filter(state="dead", channel="x"), ["SEARCH message USING INDEX message_state (state=? AND channel=?)"]),
        (Filter(state="waiting"), [BY_ID, "SEARCH delivery USING INDEX delivery_state (state=?)"]),
    ],
    ids=str,
)
def test_what_narrows_most_leads(connection: apsw.Connection, wanted: Filter, plan: list[str]) -> None:
    assert leads(wanted)
    assert plan_of(connection, wanted) == plan


@pytest.mark.parametrize(
    "narrowing",
    [
        {},
        {"type": "ADT*"},
        {"control_id": "A*"},
        {"channel": "x"},
        {"since": 1, "until": 9},
        {"state": "done"},
        {"state": "done", "channel": "x", "type": "ADT^A01"},
    ],
    ids=str,
)
@pytest.mark.parametrize("newest_first", [True, False])
def test_everything_else_goes_by_ids(
    connection: apsw.Connection, narrowing: dict[str, Any], *, newest_first: bool
) -> None:
    wanted = Filter(first_id=1, last_id=9, newest_first=newest_first, **narrowing)
    assert not leads(wanted)
    assert plan_of(connection, wanted) == [IN_STEPS]

"""What retention asks of the store is found by an index, however much is kept: it runs beside live traffic, every few
minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import apsw
import apsw.ext
import pytest

from hcsyncd.store.queries import QUERIES, parse_queries
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents

FILE_OF_QUERIES = resources.files("hcsyncd.store").joinpath("sql", "retention.sql").read_text()
NAMES = sorted(parse_queries(FILE_OF_QUERIES, "retention.sql"))

# The steps that decide what a run costs.
LEADING = {
    "walk_settled": "SEARCH message USING COVERING INDEX message_state (state=? AND channel=? AND rowid>?)",
    "removable_families": "SEARCH delivery USING INDEX delivery_message (message_id=?)",
    "settled_channels": "SEARCH message USING COVERING INDEX message_state (state=? AND channel>?)",
    "volume": "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "sizes": "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "long_deliveries": "SEARCH attempt USING COVERING INDEX attempt_delivery (delivery_id>?)",
    "remove_arrivals": "SEARCH arrival USING COVERING INDEX arrival_message (message_id=?)",
    "remove_messages": "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
}


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    await store.close()
    opened = apsw.Connection(str(tmp_path / FILE))
    yield opened
    opened.close()


def steps(connection: apsw.Connection, name: str) -> list[str]:
    text = QUERIES[name].text
    nothing = (None,) * apsw.ext.query_info(connection, text).bindings_count
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", nothing)]


@pytest.mark.parametrize("name", NAMES)
def test_no_table_is_gone_through_from_end_to_end(connection: apsw.Connection, name: str) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    tables -= {"retention"}  # has one row
    scanned = [step for step in steps(connection, name) if step.startswith("SCAN") and step.split()[1] in tables]
    assert scanned == []


@pytest.mark.parametrize("name", sorted(LEADING))
def test_a_run_goes_by_the_index_that_is_meant_for_it(connection: apsw.Connection, name: str) -> None:
    assert LEADING[name] in steps(connection, name)

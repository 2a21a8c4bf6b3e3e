"""Hot queries use their index and never scan: for one row and for a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import apsw.ext
import pytest

from hcsyncd.store import queries
from hcsyncd.store.queries import QUERIES, Query, parse_queries
from hcsyncd.store.sealing import CLEAR
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

# Each step of the plan that touches a table, but for the group's own rows.
PLANS = {
    "messages_by_identity": ["SEARCH message USING INDEX message_identity (identity=?)"],
    "arrivals_by_key": ["SEARCH arrival USING PRIMARY KEY (key=?)"],
    "replies_by_message": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "decide_replies": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "free_identities": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "mark_replied": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "undecided_messages": ["SCAN message USING COVERING INDEX message_undecided"],
    "received_sizes": ["SEARCH message USING INDEX message_state (state=? AND channel=? AND rowid>?)"],
    "messages_with_bodies": [
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "still_received": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "hand_on_messages": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "claim_deliveries": ["SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)"],
    "settle_deliveries": ["SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)"],
    "standings": ["SEARCH delivery USING INDEX delivery_message (message_id=?)"],
    "stand_messages": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "open_sizes": ["SEARCH delivery USING INDEX delivery_state (state=? AND destination=? AND lane=? AND rowid>?)"] * 3,
    "open_lanes": ["SEARCH delivery USING COVERING INDEX delivery_state (state=? AND destination=?)"],
    "blocked_lanes": ["SEARCH delivery USING INDEX delivery_state (state=? AND destination=?)"],
    "deliveries_with_bodies": [
        "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "attempts_by_delivery": ["SEARCH attempt USING INDEX attempt_delivery (delivery_id=?)"],
    "message_body": [
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH body USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "traced": [
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH message USING COVERING INDEX message_trace (trace=?)",
    ],
    "count_received": ["SEARCH message USING COVERING INDEX message_state (state=?)"],
    "count_open": ["SEARCH delivery USING COVERING INDEX delivery_state (state=?)"],
    # The whole of an index and not a row: what a count over everything costs at best.
    "count_messages_by_channel": ["SCAN message USING COVERING INDEX message_state"],
    "count_replays": ["SEARCH message USING COVERING INDEX message_replay (replay_of>?)"],
    "count_deliveries_by_destination": ["SCAN delivery USING COVERING INDEX delivery_state"],
    # What alerts are judged by, every few seconds: as much as there is trouble.
    "troubled_deliveries": ["SEARCH delivery USING COVERING INDEX delivery_state (state=?)"],
    "dead_at_arrival": [
        "SEARCH message USING COVERING INDEX message_state (state=?)",
        "SEARCH delivery USING COVERING INDEX delivery_message (message_id=?)",
    ],
    "newest_in_state": ["SEARCH message USING INDEX message_state (state=? AND channel=?)"],
    # A stretch of the newest ids; the other two steps find the last one.
    "recent_states": [
        "SEARCH message USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH message",
        "SEARCH delivery USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH delivery",
    ],
    "queued_messages": ["SEARCH message USING COVERING INDEX message_state (state=?)"],
    "queued_deliveries": ["SEARCH delivery USING INDEX delivery_state (state=?)"],
    "insert_business_keys": [],
    "keys_of_messages": ["SEARCH business_key USING INDEX business_key_message (message_id=?)"],
    "messages_keyed": ["SEARCH business_key USING COVERING INDEX business_key_value (value=?)"],
    "forget_keys": ["SEARCH business_key USING INDEX business_key_message (message_id=?)"],
    "open_delivery_ids": ["SEARCH delivery USING COVERING INDEX delivery_state (state=?)"],
    "waiting_before": [
        "SEARCH message USING COVERING INDEX message_state (state=? AND channel=? AND rowid<?)",
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "made_after": ["SEARCH delivery USING INTEGER PRIMARY KEY (rowid>?)"],
    "tried_after": ["SEARCH attempt USING INTEGER PRIMARY KEY (rowid>?)"],
    # The index alone, over the time that was asked for.
    "received_span": ["SEARCH message USING COVERING INDEX message_received_at (received_at>? AND received_at<?)"],
    "body_sizes": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "made_sizes": [
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH delivery USING INDEX delivery_message (message_id=?)",
    ],
    # A stretch of ids that the caller bounds.
    "facts_with": ["SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
}
SQL = Path(queries.__file__).parent / "sql"
TABLES = ("message", "delivery", "body", "attempt", "arrival", "business_key")


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    ids = [
        stored(answer) for answer in await asyncio.gather(*(store.inbox.put(arrival(number)) for number in range(500)))
    ]
    handed = await store.outbox.hand_on([handoff(one, delivery()) for one in ids[:400]])
    for message_id, (delivery_id,) in zip(ids[:300], handed, strict=False):
        store.outbox.settle(outcome(delivery_id, message_id))
    await store.close()
    opened = apsw.Connection(str(tmp_path / FILE))
    CLEAR.register(opened)
    yield opened
    opened.close()


def plan_of(connection: apsw.Connection, query: Query, rows: int) -> list[str]:
    text = query.for_rows(rows)
    nothing = (None,) * apsw.ext.query_info(connection, text).bindings_count
    steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", nothing)]
    return [
        step for step in steps if step.split()[:2] in [[verb, table] for verb in ("SCAN", "SEARCH") for table in TABLES]
    ]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_hot_query_uses_its_index(connection: apsw.Connection, name: str) -> None:
    query = QUERIES[name]
    for rows in (1, 64) if query.for_rows(2) != query.text else (1,):
        assert plan_of(connection, query, rows) == PLANS[name], f"for {rows} rows"


def test_every_query_that_can_scan_has_a_plan_to_keep(connection: apsw.Connection) -> None:
    scanning = {
        name
        for name, query in QUERIES.items()
        if any(step.startswith("SCAN") for step in plan_of(connection, query, 64))
    }
    # The heads of the operators' lists get their conditions when they are run.
    # What looks at the store as a whole, outside of the daemon's road, reads it as a whole.
    whole = set(parse_queries((SQL / "copies.sql").read_text(), "copies.sql"))
    assert scanning - set(PLANS) - whole == {"message_columns", "delivery_columns"}

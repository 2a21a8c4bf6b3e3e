"""The queries of replays use their indexes: a plan of a hundred thousand items is stepped through, never searched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import apsw.ext
import pytest

from hcsyncd.store.queries import QUERIES
from hcsyncd.store.sealing import CLEAR
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents

BY_NUMBER = "SEARCH replay USING INTEGER PRIMARY KEY (rowid=?)"
NEXT = "SEARCH replay_item USING INDEX replay_item_next (replay_id=? AND state=? AND destination=?"
OF_REPLAY = "SEARCH replay_item USING INDEX replay_item_next (replay_id=?"
DELIVERY = "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)"

PLANS = {
    "replay_row": [BY_NUMBER],
    "replay_rows": ["SEARCH replay USING INTEGER PRIMARY KEY (rowid<?)"],
    "replays_in_state": ["SEARCH replay USING INDEX replay_state (state=?)"],
    "replay_edited_body": [BY_NUMBER],
    "expired_replays": ["SEARCH replay USING INDEX replay_state (state=?)"],
    "replays_in_hand": ["SEARCH replay_item USING INDEX replay_item_intent (intent=? AND state=?)", BY_NUMBER],
    "next_replay_item": [f"{NEXT})"],
    "pending_items": [f"{NEXT} AND message_id=?)"],
    "has_pending_items": ["SEARCH replay_item USING COVERING INDEX replay_item_next (replay_id=? AND state=?)"],
    "same_key": [
        "SEARCH delivery USING INDEX delivery_message (message_id=?)",
        "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH message USING COVERING INDEX message_replay (replay_of=?)",
    ],
    "delivery_state_by_id": [DELIVERY],
    "replayed_before": ["SEARCH replay_item USING INDEX replay_item_message (message_id=?)"],
    "unsent_bodies": [
        "SEARCH replay USING COVERING INDEX replay_state (state=?)",
        "SEARCH replay_item USING INDEX replay_item_own_body (replay_id=?)",
    ],
    "replay_items": ["SEARCH replay_item USING INDEX replay_item_replay (replay_id=? AND rowid>?)", DELIVERY],
    "replay_destinations": ["SEARCH replay_item USING COVERING INDEX replay_item_next (replay_id=? AND state=?)"],
    "replay_under_way": [f"{OF_REPLAY} AND state=?)", DELIVERY],
    "open_among": [DELIVERY],
    "kin": ["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"],
    "kin_copies": ["SEARCH message USING COVERING INDEX message_replay (replay_of=?)"],
    "replay_links": [
        "SEARCH replay_item USING INDEX replay_item_message (message_id=?)",
        BY_NUMBER,
        "SEARCH replay_item USING INDEX replay_item_copy (copy_id=?)",
        BY_NUMBER,
    ],
}


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    await (await Store.open(tmp_path, RecordedEvents(), FakeClock())).close()
    opened = apsw.Connection(str(tmp_path / FILE))
    CLEAR.register(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_query_of_replays_uses_its_index(connection: apsw.Connection, name: str) -> None:
    query = QUERIES[name]
    for rows in (1, 64) if query.for_rows(2) != query.text else (1,):
        text = query.for_rows(rows)
        nothing = (None,) * apsw.ext.query_info(connection, text).bindings_count
        steps = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", nothing)]
        touching = [step.removesuffix(" LEFT-JOIN") for step in steps if step.startswith(("SCAN", "SEARCH"))]
        assert touching == PLANS[name], f"for {rows} rows"
        assert not [step for step in steps if "TEMP B-TREE FOR ORDER BY" in step and name != "replay_links"]

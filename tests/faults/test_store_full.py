"""A store whose disk is full refuses what does not fit, keeps its promises, and goes on when there is space again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hcsyncd.store.ports import Filter
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.store_process import start


def fill_the_disk(folder: Path) -> dict[str, Any]:
    """What happened, as the program tells it."""
    with start("store_full", folder) as process:
        output, complaint = process.communicate(timeout=50)
    assert process.returncode == 0, complaint
    report: dict[str, Any] = json.loads(output)
    return report


async def test_a_full_disk_costs_only_what_does_not_fit(tmp_path: Path) -> None:
    report = fill_the_disk(tmp_path)
    small, huge, other = report["mixed"]
    assert isinstance(small, int)
    assert isinstance(other, int), "it stood beside the one that did not fit"
    assert huge.startswith("storing an arrival failed: reading or writing the store failed")
    refused = [answer for answer in report["full"] if isinstance(answer, str)]
    assert refused == report["full"][-len(refused) :], "once full, it stays full"
    assert len(refused) > 5
    promised = [
        answer
        for answers in (report["before"], report["mixed"], report["full"], [report["after"]])
        for answer in answers
        if isinstance(answer, int)
    ]
    assert report["still_read"] == len(promised) - 1, "reading goes on"
    events = report["events"]
    assert events == ["StoreFailed", "StoreRecovered"] * (len(events) // 2), "each said once, by turns"
    assert events

    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    assert [row.id for row in await store.history.find(Filter(newest_first=False))] == promised
    assert store.recovered.messages == len(promised)
    await store.close()

"""Configurations kept: numbers that go on, files once each, and what became of every one."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.ports import ConfigurationOutcome, NewConfiguration
from hcsyncd.store.store import FILE
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

FILES = {"routes.yaml": b"routes: []\n", "channels/a.yaml": b"source: mllp\n"}


def new(digest: str = "d1", **files: bytes) -> NewConfiguration:
    named = {name.replace("__", "/") + ".yaml": content for name, content in files.items()}
    return NewConfiguration(digest, "ada", "because", {**FILES, **named}, changes=("route r: added",))


async def test_what_is_kept_is_read_again(store: Ports) -> None:
    number = await store.configurations.add(new())
    row = await store.configurations.row(number)
    assert row is not None
    assert (row.number, row.digest, row.author, row.reason) == (1, "d1", "ada", "because")
    assert (row.outcome, row.changes, row.ended_at) == (ConfigurationOutcome.STARTING, ("route r: added",), 0)
    assert await store.configurations.files(number) == FILES
    assert await store.configurations.files(2) == {}
    assert await store.configurations.row(2) is None


async def test_a_live_one_supersedes_the_one_before(store: Ports) -> None:
    for digest in ("d1", "d2"):
        await store.configurations.settle(await store.configurations.add(new(digest)), ConfigurationOutcome.LIVE)
    second, first = await store.configurations.rows()
    assert (second.outcome, second.ended_at) == (ConfigurationOutcome.LIVE, 0)
    assert first.outcome is ConfigurationOutcome.SUPERSEDED
    assert first.ended_at > 0
    last = await store.configurations.last()
    assert last is not None
    assert last.number == second.number == 2
    assert [row.number for row in await store.configurations.rows(before=2)] == [1]


async def test_one_that_was_given_up_says_why_and_is_not_the_last(store: Ports) -> None:
    for digest in ("d1", "d2", "d1"):
        await store.configurations.settle(await store.configurations.add(new(digest)), ConfigurationOutcome.LIVE)
    await store.configurations.settle(2, ConfigurationOutcome.REVERTED, "12 of 20 messages failed")
    row = await store.configurations.row(2)
    assert row is not None
    assert (row.outcome, row.why) == (ConfigurationOutcome.REVERTED, "12 of 20 messages failed")
    last = await store.configurations.last()
    assert last is not None
    assert last.number == 3


async def test_one_that_never_lived_is_forgotten_with_what_only_it_had(store: Ports) -> None:
    await store.configurations.add(new())
    dropped = await store.configurations.add(new("d2", channels__b=b"destination: folder\n"))
    await store.configurations.drop(dropped)
    assert await store.configurations.row(dropped) is None
    assert await store.configurations.files(dropped) == {}
    assert await store.configurations.files(1) == FILES
    assert await store.configurations.add(new("d3")) == dropped


async def test_numbers_go_on_over_restarts(reopen: Open) -> None:
    store = await reopen()
    await store.configurations.settle(await store.configurations.add(new()), ConfigurationOutcome.LIVE)
    store = await reopen()
    last = await store.configurations.last()
    assert last is not None
    assert last.number == 1
    assert await store.configurations.add(new("d2")) == 2


async def test_files_that_did_not_change_cost_nothing_again(reopen: Open, tmp_path: Path) -> None:
    store = await reopen()
    for number in range(5):
        await store.configurations.add(new(f"d{number}", channels__b=str(number).encode()))
    await store.close()
    connection = apsw.Connection(str(tmp_path / "store" / FILE))
    try:
        assert connection.execute("SELECT count(*) FROM configuration_content").get == len(FILES) + 5
    finally:
        connection.close()
    await reopen()


async def test_what_is_not_there_cannot_be_settled(store: Ports) -> None:
    with pytest.raises(StoreError, match="configuration 7 is not in the store"):
        await store.configurations.settle(7, ConfigurationOutcome.LIVE)


async def test_a_delivery_says_which_configuration_made_it(store: Ports) -> None:
    message_id = stored(await store.inbox.put(arrival()))
    await store.outbox.hand_on([handoff(message_id, delivery(generation=7))])
    (row,) = await store.history.deliveries([message_id])
    assert row.generation == 7


async def test_what_a_change_would_reach(store: Ports) -> None:
    ids = [stored(await store.inbox.put(arrival(number))) for number in range(4)]
    handed = await store.outbox.hand_on([handoff(one, delivery("erp"), delivery("lab")) for one in ids[:3]])
    await store.outbox.settle(outcome(handed[0][0], ids[0]))
    queued = await store.configurations.queued()
    assert queued.messages == {"adt": 1}
    assert queued.deliveries == {("r1", "erp", "ready"): 2, ("r1", "lab", "ready"): 3}
    states = set(await store.configurations.recent_states())
    assert states == {
        ("adt", "received", 1),
        ("adt", "routed", 3),
        ("erp", "ready", 2),
        ("erp", "sent", 1),
        ("lab", "ready", 3),
    }

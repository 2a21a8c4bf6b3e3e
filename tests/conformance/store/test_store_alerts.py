"""Alerts are kept as they are, and what they are judged by is counted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import Alert, Trouble
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored


def alert(kind: str = "queue-age", subject: str = "erp", **fields: Any) -> Alert:
    return Alert(kind, subject, "laboratory", "the oldest has waited 17 min", 1_000_000, **fields)


async def test_an_alert_is_kept_as_it_is_and_survives_a_restart(reopen: Open) -> None:
    store = await reopen()
    first = await store.alerts.put(alert())
    await store.alerts.put(alert("disk", ""))
    seen = replace(alert(id=first), acknowledged_at=2, acknowledged_by="anna", note="n", reminders=3, reminded_at=4)
    assert await store.alerts.put(seen) == first
    again = await reopen()
    assert await again.alerts.open() == [seen, alert("disk", "", id=2)]


async def test_what_is_cleared_is_history(store: Ports) -> None:
    first = await store.alerts.put(alert())
    await store.alerts.put(alert(id=first, cleared_at=5))
    second = await store.alerts.put(alert())
    await store.alerts.put(alert("disk", ""))
    assert [one.id for one in await store.alerts.open()] == [second, 3]
    assert [one.id for one in await store.alerts.history()] == [3, second, first]
    assert [one.id for one in await store.alerts.history(kind="queue-age", limit=1)] == [second]
    assert [one.id for one in await store.alerts.history(subject="erp", before_id=second)] == [first]


async def test_a_condition_has_one_open_alert(store: Ports) -> None:
    await store.alerts.put(alert())
    with pytest.raises(StoreError):
        await store.alerts.put(alert())


async def test_what_stands_still_is_counted_by_channel(store: Ports) -> None:
    assert await store.alerts.trouble() == Trouble({}, {}, {})
    await store.inbox.put(arrival(1, state=MessageState.DEAD, cause="no-msh"))
    ids = [stored(await store.inbox.put(arrival(number))) for number in (2, 3, 4)]
    handed = await store.outbox.hand_on([handoff(one, delivery("erp"), delivery("lab")) for one in ids])
    for message_id, (erp, lab) in zip(ids, handed, strict=True):
        await store.outbox.settle(outcome(erp, message_id, DeliveryState.DEAD))
        await store.outbox.settle(
            outcome(lab, message_id, DeliveryState.UNSURE if lab == handed[0][1] else DeliveryState.SENT)
        )
    assert await store.alerts.trouble() == Trouble({"erp": 3, "adt": 1}, {"lab": 1}, {})


async def test_when_the_newest_message_of_a_channel_came(store: Ports) -> None:
    await store.inbox.put(arrival(1, channel="adt"))
    newest = stored(await store.inbox.put(arrival(2, channel="adt")))
    await store.outbox.hand_on([handoff(newest, state=MessageState.UNROUTED)])
    await store.inbox.put(arrival(3, channel="lab"))
    assert await store.alerts.last_received(["adt", "lab", "none"]) == {"adt": 1_000_002, "lab": 1_000_003}

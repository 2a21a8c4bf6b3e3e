"""Short ways to say what is stored: arrivals, handoffs and outcomes with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.store.ports import (
    BodySource,
    Handoff,
    Known,
    NewDelivery,
    NewMessage,
    NewReplay,
    Outcome,
    PlannedItem,
    PlannedPage,
    Replays,
    Step,
    Stored,
    Verdict,
)


def arrival(number: int = 1, **fields: Any) -> NewMessage:
    """An arrival whose identity and content follow its number."""
    body = fields.pop("body", f"MSH|^~\\&|EHR|||||||ADT^A01|{number}".encode())
    known: dict[str, Any] = {
        "channel": "adt",
        "received_at": 1_000_000 + number,
        "keys": Keys("ADT^A01", str(number), "EHR|WARD", "HUB|"),
        "identity": f"adt EHR {number}".encode(),
        "fingerprint": body,
        "reply": f"AA {number}".encode(),
    }
    return NewMessage(body=body, **(known | fields))


def stored(answer: Stored | Known) -> int:
    """The id of what was stored; a duplicate is a failure."""
    assert isinstance(answer, Stored), answer
    return answer.message_id


def known(answer: Stored | Known) -> Known:
    """The duplicate; something newly stored is a failure."""
    assert isinstance(answer, Known), answer
    return answer


def delivery(destination: str = "erp", body: bytes | None = None, **fields: Any) -> NewDelivery:
    made: dict[str, Any] = {
        "route": "r1",
        "lane": destination,
        "content_type": "text/plain",
        "key": f"key-{destination}",
    }
    return NewDelivery(destination=destination, body=body, **(made | fields))


def handoff(
    message_id: int, *deliveries: NewDelivery, state: MessageState = MessageState.ROUTED, **why: str
) -> Handoff:
    return Handoff(message_id, state, deliveries, **why)


def outcome(
    delivery_id: int, message_id: int, state: DeliveryState = DeliveryState.SENT, attempt: int = 1, **fields: Any
) -> Outcome:
    times: dict[str, Any] = {"started_at": 2_000_000 + attempt, "ended_at": 2_000_500 + attempt}
    return Outcome(delivery_id, message_id, state, attempt, **(times | fields))


async def replayed(replays: Replays, message_id: int, body: bytes | None = None) -> tuple[int, int]:
    """The message is on the road again, to one destination; the copy and its delivery. ``body``: a person's own."""
    key = f"again-{message_id}"
    source = BodySource.MESSAGE if body is None else BodySource.EDITED
    item = PlannedItem(
        message_id, message_id, Verdict.SEND, "r1", "erp", key=key, made=delivery(key=key), body_source=source
    )
    replay_id = await replays.begin(NewReplay("anna", "", "{}", body, None if body is None else Keys()))
    planned = await replays.add(PlannedPage(replay_id, message_id, [item], is_last=True, expire_secs=60))
    await replays.apply(replay_id, "anna", planned.replay.digest)
    applied = await replays.step(Step(replay_id, {"erp": 1}, frozenset({"erp"}), frozenset(), 1))
    await replays.finish(replay_id)
    ((_, copy_id),) = applied.copies
    return copy_id, applied.made[0].id

"""Short ways to say what is stored: arrivals, handoffs and outcomes with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.store.ports import Handoff, Known, NewDelivery, NewMessage, Outcome, Stored


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

"""Rows of the store file to the engine's records and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from hcsyncd.message import NO_FACTS, Delivery, DeliveryState, Envelope, Keys, Message

_decode_mapping = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.encode


def render_mapping(mapping: Mapping[str, str]) -> str:
    """A JSON object, or nothing for none, as most messages have."""
    return _encode(dict(mapping)).decode() if mapping else ""


def parse_mapping(text: str) -> Mapping[str, str]:
    return MappingProxyType(_decode_mapping(text)) if text else NO_FACTS


def message_from(row: tuple[Any, ...]) -> Message:
    """A row of ``messages_with_bodies``."""
    message_id, channel, received_at, kind, control_id, sender, receiver, body, trace, parent, replay_of = row[:11]
    only_route, only_destination, peer, facts = row[11:]
    return Message(
        id=message_id,
        channel=channel,
        received_at=received_at,
        keys=Keys(kind, control_id, sender, receiver),
        body=body,
        trace=message_id if trace is None else trace,
        parent=parent,
        replay_of=replay_of,
        only_route=only_route,
        only_destination=only_destination,
        peer=peer,
        facts=parse_mapping(facts),
    )


def delivery_from(row: tuple[Any, ...]) -> Delivery:
    """A row of ``deliveries_with_bodies``."""
    delivery_id, message_id, route, destination, lane, state, attempt, due_at, first_tried_at, created_at = row[:10]
    body, content_type, kind, control_id, headers, key = row[10:]
    return Delivery(
        id=delivery_id,
        message_id=message_id,
        route=route,
        destination=destination,
        lane=lane,
        state=DeliveryState(state),
        attempt=attempt,
        due_at=due_at,
        first_tried_at=first_tried_at,
        created_at=created_at,
        envelope=Envelope(
            delivery_id=delivery_id,
            message_id=message_id,
            body=body,
            content_type=content_type,
            idempotency_key=key,
            type=kind,
            control_id=control_id,
            headers=parse_mapping(headers),
            attempt=attempt + 1,
            lane=lane,
            created_at=created_at,
            route=route,
        ),
    )

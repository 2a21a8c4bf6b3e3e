"""Rows of the store file to the engine's records and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from hcsyncd.message import (
    NO_FACTS,
    BusinessKeys,
    Delivery,
    DeliveryState,
    Envelope,
    Keys,
    Message,
    MessageState,
    ReplyState,
)
from hcsyncd.store.ports import DeliveryRow, MessageRow

_decode_mapping = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.encode


def render_mapping(mapping: Mapping[str, str]) -> str:
    """A JSON object, or nothing for none, as most messages have."""
    return _encode(dict(mapping)).decode() if mapping else ""


def parse_mapping(text: str) -> Mapping[str, str]:
    return MappingProxyType(_decode_mapping(text)) if text else NO_FACTS


def key_rows(message_id: int, delivery_id: int, keys: BusinessKeys) -> list[tuple[int, int, str, str]]:
    """Rows of ``insert_business_keys``; ``delivery_id`` 0 stands for what arrived."""
    return [(message_id, delivery_id, name, value) for name, value in keys]


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


def listed_message(row: tuple[Any, ...]) -> MessageRow:
    """A row of ``message_columns``."""
    message_id, channel, received_at, kind, control_id, sender, receiver, state, reply_state = row[:9]
    cause, text, size, peer, trace, parent, replay_of, facts, body_removed_at, answers_removed_at = row[9:]
    return MessageRow(
        id=message_id,
        channel=channel,
        received_at=received_at,
        keys=Keys(kind, control_id, sender, receiver),
        state=MessageState(state),
        reply_state=ReplyState(reply_state),
        cause=cause,
        text=text,
        bytes=size,
        peer=peer,
        trace=message_id if trace is None else trace,
        parent=parent,
        replay_of=replay_of,
        facts=parse_mapping(facts),
        body_removed_at=body_removed_at or 0,
        answers_removed_at=answers_removed_at or 0,
    )


def listed_delivery(row: tuple[Any, ...]) -> DeliveryRow:
    """A row of ``delivery_columns``."""
    delivery_id, message_id, route, destination, lane, state, *rest, made, cause, text, generation = row
    attempt, due_at, created_at, settled_at, key, kind, content_type, size = rest
    return DeliveryRow(
        id=delivery_id,
        message_id=message_id,
        route=route,
        destination=destination,
        lane=lane,
        state=DeliveryState(state),
        attempt=attempt,
        due_at=due_at,
        created_at=created_at,
        settled_at=settled_at,
        key=key,
        type=kind,
        content_type=content_type,
        bytes=size,
        made=bool(made),
        cause=cause,
        text=text,
        generation=generation,
    )

"""What parked deliveries become: made anew by the live configuration, each for its own route and destination alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from hcsyncd.flow.transform import Plan, Transformer
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.store.ports import DeliveryRow, Handoff, NewDelivery, Remade

ROUTE_GONE = "route-gone"


async def remake(
    transformer: Transformer, plan: Plan, messages: Mapping[int, Message], parked: Sequence[DeliveryRow]
) -> list[Remade]:
    """One answer for each parked delivery, in order. The first thing made keeps its id, its idempotency key and the
    time it was made at first; what fails anew is parked for another code, or dead. A message that ``messages`` lacks,
    or whose channel or route is gone, makes a dead letter."""
    narrowed = [
        replace(message, only_route=row.route, only_destination=row.destination)
        for row in parked
        if (message := messages.get(row.message_id)) and _is_in_service(plan, message.channel)
    ]
    handoffs = iter(await transformer.hand_offs(plan, narrowed))
    answers: list[Remade] = []
    for row in parked:
        found = messages.get(row.message_id)
        if found is None:
            answers.append(_dead(row, "body-gone", "the bytes of its message are no longer kept"))
        elif not _is_in_service(plan, found.channel):
            answers.append(_dead(row, ROUTE_GONE, f"source {found.channel} is not in service any more"))
        else:
            answers.append(_remade(plan, row, next(handoffs)))
    return answers


def _is_in_service(plan: Plan, channel: str) -> bool:
    known = plan.channels.get(channel)
    return known is not None and known.source is not None and known.options.enabled


def _remade(plan: Plan, row: DeliveryRow, handoff: Handoff) -> Remade:
    match handoff.state:
        case MessageState.ROUTED:
            first, *more = handoff.deliveries
            kept = replace(first, key=row.key, created_at=row.created_at)
            return Remade(row.id, (kept, *(replace(one, created_at=row.created_at) for one in more)))
        case MessageState.FILTERED if row.destination in plan.routes.named(row.route).options.to:
            return Remade(row.id, reason=handoff.text or f"route {row.route} makes nothing for it now")
        case MessageState.DEAD:
            return _dead(row, handoff.cause, handoff.text)
        case _:
            return _dead(row, ROUTE_GONE, f"route {row.route} does not take it to {row.destination} any more")


def _dead(row: DeliveryRow, cause: str, text: str) -> Remade:
    dead = NewDelivery(
        route=row.route,
        destination=row.destination,
        lane=row.lane,
        content_type="",
        key=row.key,
        created_at=row.created_at,
        state=DeliveryState.DEAD,
        cause=cause,
        text=text,
    )
    return Remade(row.id, (dead,))

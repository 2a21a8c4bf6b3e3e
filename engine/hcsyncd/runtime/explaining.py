"""Gathers what the store and the road know of rows that wait, and has it judged."""

from __future__ import annotations

from collections.abc import Sequence

from hcsyncd.message import DeliveryState, MessageState, ReplyState
from hcsyncd.record import Record
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.runtime.waiting import COUNTED, DELIVERIES, NOTHING, Queue, Routing, Why, why_delivery, why_message
from hcsyncd.store.ports import DeliveryRow, History, MessageRow, Search

SETTLED = frozenset({DeliveryState.SENT, DeliveryState.CLOSED})


class Missing(Record, frozen=True):
    """Something that has not happened yet, and why."""

    message_id: int
    delivery_id: int  # 0: the message itself, or its acknowledgement
    what: str
    why: Why


class Explainer:
    """Says of rows why they wait."""

    def __init__(self, search: Search, lookout: Lookout) -> None:
        self._search = search
        self._lookout = lookout

    async def messages(self, rows: Sequence[MessageRow]) -> dict[int, Why]:
        """By message."""
        channels = {channel.name: channel for channel in self._lookout.channels()}
        whys: dict[int, Why] = {}
        for row in rows:
            waits = row.state is MessageState.RECEIVED
            routing = Routing(
                channels.get(row.channel),
                waits and self._lookout.is_under_way(row.channel, row.id),
                await self._search.waiting_before(row.id, COUNTED) if waits else 0,
            )
            whys[row.id] = why_message(row, routing)
        return whys

    async def at_a_glance(self, history: History, rows: Sequence[MessageRow]) -> dict[int, Why]:
        """By message: one answer each, that of its first delivery that waits where its own would only say so."""
        whys = await self.messages(rows)
        asked = [message_id for message_id, why in whys.items() if why.code == DELIVERIES]
        deliveries = await history.deliveries(asked) if asked else []
        of_deliveries = await self.deliveries(deliveries)
        for delivery in reversed(deliveries):
            if of_deliveries[delivery.id] is not NOTHING:
                whys[delivery.message_id] = of_deliveries[delivery.id]
        return whys

    async def deliveries(self, rows: Sequence[DeliveryRow]) -> dict[int, Why]:
        """By delivery."""
        channels = {channel.name: channel for channel in self._lookout.channels()}
        waiting = [row.id for row in rows if row.state not in SETTLED]
        standings = {one.delivery_id: one for one in await self._search.queued(waiting, COUNTED)} if waiting else {}
        return {
            row.id: why_delivery(
                row,
                Queue(
                    channels.get(row.destination),
                    standings.get(row.id),
                    self._lookout.lane_facts(row.destination, row.lane, row.id),
                ),
            )
            for row in rows
        }

    async def missing(self, messages: Sequence[MessageRow], deliveries: Sequence[DeliveryRow]) -> list[Missing]:
        """What has not come to its end, in the order of the messages."""
        of_deliveries = await self.deliveries(deliveries)
        of_messages = await self.messages([row for row in messages if row.state in _UNSETTLED])
        found = []
        for message in messages:
            own = [row for row in deliveries if row.message_id == message.id and of_deliveries[row.id] is not NOTHING]
            why = of_messages.get(message.id)
            if why is not None and not own:
                found.append(Missing(message.id, 0, f"message {message.id} is {message.state.value}", why))
            found += [
                Missing(
                    message.id,
                    row.id,
                    f"delivery {row.id} to {row.destination} is {row.state.value}",
                    of_deliveries[row.id],
                )
                for row in own
            ]
            if message.reply_state in _UNACKNOWLEDGED:
                found.append(Missing(message.id, 0, f"the acknowledgement of message {message.id}", _reply(message)))
        return found


_UNSETTLED = frozenset({MessageState.RECEIVED, MessageState.DEAD})
_UNACKNOWLEDGED = frozenset({ReplyState.OWED, ReplyState.LOST})


def _reply(message: MessageRow) -> Why:
    if message.reply_state is ReplyState.LOST:
        text = "the sender was gone when it was to be written; it is given when the sender comes again"
        return Why("reply-lost", text, message.received_at)
    return Why("reply-owed", "it is not written yet, or its writing is not noted yet", message.received_at)

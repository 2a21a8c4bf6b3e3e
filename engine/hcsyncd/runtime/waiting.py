"""Why something waits: an answer for every row that is not at its end, in words for a person.

A pure function of what the store and the running road know of the row at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, assert_never

from hcsyncd.flow.lane import LaneFacts
from hcsyncd.message import DeliveryState, MessageState, ReplyState
from hcsyncd.record import Record
from hcsyncd.runtime.live import ChannelStatus, Health
from hcsyncd.store.ports import DeliveryRow, Hold, HoldKind, MessageRow, Standing

COUNTED = 1000  # what comes before a row is counted so far


class Why(Record, frozen=True):
    """The answer. ``code`` is one of a few words for programs; ``text`` goes on from "because"."""

    code: str
    text: str
    since: int = 0  # microseconds; 0: not known
    next_at: int = 0  # when something is tried again by itself; 0: nothing is
    behind: int = 0  # a delivery that has to be settled first; 0: none
    task: int = 0  # that waits for a person; 0: none
    command: str = ""  # what a person may type


NOTHING = Why("nothing", "it waits for nothing")
DELIVERIES = "deliveries"  # the code of a message that waits for its deliveries alone


class Road(Protocol):
    """What the running road knows of single rows. Implemented by `runtime.node.Node`."""

    def lane_facts(self, destination: str, lane: str, delivery_id: int) -> LaneFacts | None:
        """None: the destination is not in service."""
        ...

    def is_under_way(self, channel: str, message_id: int) -> bool:
        """Whether a message is being transformed and committed."""
        ...


@dataclass(frozen=True, slots=True)
class Routing:
    """What is known of a message that is not routed yet. ``channel`` None: the site has none of that name."""

    channel: ChannelStatus | None = None
    under_way: bool = False
    before: int = 0  # messages of its channel that come first, counted up to COUNTED


@dataclass(frozen=True, slots=True)
class Queue:
    """What is known of a delivery's place. ``channel`` None: the site has none of that name."""

    channel: ChannelStatus | None = None
    standing: Standing | None = None
    lane: LaneFacts | None = None  # None: the destination is not in service


def why_message(row: MessageRow, routing: Routing) -> Why:
    """Why a message stands where it stands."""
    match row.state:
        case MessageState.RECEIVED:
            return _why_unrouted_yet(row, routing)
        case MessageState.ROUTED:
            return Why(DELIVERIES, "its deliveries are not all at their end", command=f"hcsyncd why {row.id}")
        case MessageState.DEAD:
            if row.text or row.cause:
                said = ": ".join(part for part in (row.cause, row.text) if part)
                return Why("dead", f"it needs a person: {said}", command=f"hcsyncd dead show {row.id}")
            return Why(DELIVERIES, "a delivery of it needs a person", command=f"hcsyncd dead show {row.id}")
        case MessageState.DONE | MessageState.FILTERED | MessageState.UNROUTED | MessageState.CLOSED:
            if row.reply_state is ReplyState.OWED:
                return Why("reply-owed", "nothing but the note that its acknowledgement was written is missing")
            return NOTHING
        case _:
            assert_never(row.state)


def _why_unrouted_yet(row: MessageRow, routing: Routing) -> Why:
    channel = routing.channel
    if channel is None or channel.health is Health.OFF:
        text = f"its channel {row.channel} is not in service: it is routed when the channel is back"
        return Why("no-channel", text, row.received_at)
    if hold := _hold(channel, HoldKind.ROUTING):
        return _held(hold, f"routing of {row.channel}", f"hcsyncd resume routing {row.channel}")
    if routing.under_way:
        return Why("under-way", "it is being routed and transformed now", row.received_at)
    if routing.before:
        return Why("backlog", f"it is behind {_counted(routing.before)} of {row.channel}", row.received_at)
    return Why("next", "it is the next of its channel to be routed: the workers are busy with others", row.received_at)


def why_delivery(row: DeliveryRow, queue: Queue) -> Why:
    """Why a delivery stands where it stands."""
    said = ": ".join(part for part in (row.cause, row.text) if part)
    match row.state:
        case DeliveryState.SENT | DeliveryState.CLOSED:
            return NOTHING
        case DeliveryState.DEAD:
            text = f"it was given up: {said}" if said else "it was given up"
            return Why("dead", text, row.settled_at, command=f"hcsyncd dead show {row.message_id}")
        case DeliveryState.UNSURE:
            text = f"it was sent, and nobody knows whether it arrived: {said}"
            return Why("unsure", text, command="hcsyncd unsure list")
        case DeliveryState.PARKED:
            return _parked(row, queue.standing)
        case DeliveryState.SENDING:
            return Why("sending", f"it is being sent to {row.destination}, and has no answer yet")
        case DeliveryState.READY | DeliveryState.WAITING:
            return _why_not_sent(row, queue)
        case _:
            assert_never(row.state)


def _parked(row: DeliveryRow, standing: Standing | None) -> Why:
    task = standing.task if standing else 0
    waits = f"it waits for task {task}" if task else "it waits for a person"
    command = f"hcsyncd tasks show {task}" if task else "hcsyncd tasks list"
    return Why("parked", f"{waits}: {row.text}" if row.text else waits, row.created_at, task=task, command=command)


def _why_not_sent(row: DeliveryRow, queue: Queue) -> Why:
    channel, lane, standing = queue.channel, queue.lane, queue.standing
    if channel is None or channel.health is Health.OFF or lane is None:
        text = f"its destination {row.destination} is not in service: it is sent when the channel is back"
        return Why("no-channel", text, row.created_at)
    if hold := _hold(channel, HoldKind.DELIVERY):
        return _held(hold, f"delivery to {row.destination}", f"hcsyncd resume delivery {row.destination}")
    if lane.behind:
        state = standing.blocked_state if standing and standing.blocked_by == lane.behind else None
        text = f"its lane stands behind delivery {lane.behind}{f', which is {state.value}' if state else ''}"
        return Why("lane-held", text, row.created_at, behind=lane.behind, command=_settles(lane.behind, state))
    ahead = standing.ahead if standing else 0
    if row.state is DeliveryState.WAITING and not ahead:
        tries = f"{row.attempt} tr{'y' if row.attempt == 1 else 'ies'}"
        error = ": ".join(part for part in (row.cause, row.text) if part) or channel.error
        text = f"{row.destination} did not take it ({tries}): {error}"
        return Why("retry", text, row.created_at, lane.next_try_at or row.due_at)
    down = f"; {row.destination} is down: {channel.error}" if channel.error else ""
    next_at = lane.next_try_at or (channel.next_try_at if channel.error else 0)
    if ahead:
        text = f"it is behind {_counted(ahead, 'delivery')} in its lane{down}"
        return Why("behind", text, row.created_at, next_at)
    if down:
        return Why("destination-down", f"{row.destination} is down: {channel.error}", row.created_at, next_at)
    if lane.slots_taken:
        text = f"{lane.slots_taken} lanes of {row.destination} are sending, as many as may at once (concurrency)"
        return Why("slots-taken", text, row.created_at)
    return Why("next", "it is the next of its lane: it is being sent, or about to be", row.created_at)


def _settles(delivery_id: int, state: DeliveryState | None) -> str:
    if state is DeliveryState.UNSURE:
        return "hcsyncd unsure list"
    return "hcsyncd tasks list" if state is DeliveryState.PARKED else f"hcsyncd why --delivery {delivery_id}"


def _hold(channel: ChannelStatus, kind: HoldKind) -> Hold | None:
    return next((hold for hold in channel.holds if hold.kind is kind), None)


def _held(hold: Hold, what: str, command: str) -> Why:
    return Why("held", f"{what} is held by {hold.by}: {hold.reason}", hold.at, command=command)


def _counted(count: int, what: str = "message") -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{'at least ' if count >= COUNTED else ''}{count} {what if count == 1 else plural}"

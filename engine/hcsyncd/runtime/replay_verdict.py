"""What a replay would do to one message: each of its ways judged against all that was made of it before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from hcsyncd.clock import isoformat
from hcsyncd.message import OPEN_DELIVERY_STATES, DeliveryState, Keys, Message, MessageState
from hcsyncd.runtime.difference import field_differences
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.store.ports import (
    BodySource,
    DeliveryRow,
    Handoff,
    History,
    MessageRow,
    NewDelivery,
    PlannedItem,
    Verdict,
)

FIELDS_SHOWN = 5
TROUBLED = frozenset({DeliveryState.DEAD, DeliveryState.UNSURE})
UNDER_WAY = OPEN_DELIVERY_STATES | {DeliveryState.PARKED}


class Way(NamedTuple):
    """One message's way out; an empty part stands for any."""

    route: str
    destination: str

    def covers(self, way: Way) -> bool:
        return self.route in ("", way.route) and self.destination in ("", way.destination)


ANY_WAY = Way("", "")


@dataclass(frozen=True, slots=True)
class Edited:
    """A person's own body for one message, and what it says."""

    body: bytes = field(repr=False)
    keys: Keys


@dataclass(frozen=True, slots=True)
class Manner:
    """How a replay treats what it finds. ``renewal``: a mark for the keys of a new intent, "" for the same intent."""

    way: Way = ANY_WAY
    again: bool = False
    renewal: str = ""
    edited: Edited | None = None
    makes_all_anew: bool = False  # even what was made then and never taken


@dataclass(frozen=True, slots=True)
class Subject:
    """A message that is meant: all its ways, or those of some of its dead letters."""

    row: MessageRow
    letters: tuple[DeliveryRow, ...] = ()
    is_whole: bool = True

    @property
    def intent(self) -> int:
        return self.row.replay_of or self.row.id


@dataclass(frozen=True, slots=True)
class Case:
    """A subject with its message, and all deliveries that were ever made under its intent."""

    subject: Subject
    kin: tuple[DeliveryRow, ...]
    message: Message = field(repr=False)

    @property
    def own(self) -> tuple[DeliveryRow, ...]:
        """Of these, what was made of this very message."""
        return tuple(row for row in self.kin if row.message_id == self.subject.row.id)


def blocked(subject: Subject, cause: str, text: str, way: Way = ANY_WAY) -> PlannedItem:
    """An item that does not go, with the reason."""
    return PlannedItem(subject.row.id, subject.intent, Verdict.BLOCKED, way.route, way.destination, cause, text)


def as_made(
    subject: Subject, letter: DeliveryRow, kin: Sequence[DeliveryRow], manner: Manner, reachable: frozenset[str]
) -> PlannedItem:
    """A dead letter that was made: it goes again as it is, under its own key."""
    if letter.destination not in reachable:
        return _unreachable(subject, Way(letter.route, letter.destination))
    item = PlannedItem(
        message_id=subject.row.id,
        intent=subject.intent,
        verdict=Verdict.SEND,
        route=letter.route,
        destination=letter.destination,
        text="as it was made then" + _doubt([letter]),
        key=letter.key,
        earlier_id=letter.id,
        stands_for=letter.id,
        as_made=True,
        body_source=BodySource.EARLIER,
    )
    others = [row for row in kin if row.key == letter.key and row.id != letter.id]
    return _refused(item, others, again=manner.again) or item


def _unreachable(subject: Subject, way: Way) -> PlannedItem:
    return blocked(subject, "no-destination", f"there is no destination {way.destination} now", way)


class Judge:
    """Judges what one configuration makes of messages. ``number`` is the configuration's own."""

    def __init__(
        self, history: History, rehearsal: Rehearsal, number: int, reachable: frozenset[str], manner: Manner
    ) -> None:
        self._history = history
        self._rehearsal = rehearsal
        self._number = number
        self._reachable = reachable
        self._manner = manner

    async def items(self, case: Case, handoff: Handoff) -> list[PlannedItem]:
        """Every way of the message, in the order of the routes; then those that were taken then and are not now."""
        subject = case.subject
        wanted = {Way(letter.route, letter.destination) for letter in subject.letters}
        found: list[PlannedItem] = []
        made: set[Way] = set()
        for new in handoff.deliveries:
            way = Way(new.route, new.destination)
            if self._manner.way.covers(way) and (subject.is_whole or way in wanted):
                made.add(way)
                found.append(await self._item(case, way, new))
        found += self._not_made(case, handoff, made)
        if not found:
            found.append(blocked(subject, *self._why_nothing(handoff), self._manner.way))
        return found

    async def _item(self, case: Case, way: Way, new: NewDelivery) -> PlannedItem:
        subject = case.subject
        if new.state is not DeliveryState.READY:
            return blocked(subject, new.cause, f"its route would fail: {new.text}", way)
        same = [row for row in case.kin if row.key == new.key]
        key = _renewed(new.key, subject.intent, self._manner.renewal)
        item = PlannedItem(
            message_id=subject.row.id,
            intent=subject.intent,
            verdict=Verdict.SEND,
            route=way.route,
            destination=way.destination,
            key=key,
            stands_for=_stands_for(case, way, same),
        )
        if way.destination not in self._reachable:
            return _unreachable(subject, way)
        if not self._manner.renewal and (refused := _refused(item, same, again=self._manner.again)):
            return refused
        return await self._compared(case, item, replace(new, key=key, generation=self._number, created_at=0), same)

    async def _compared(
        self, case: Case, item: PlannedItem, new: NewDelivery, same: Sequence[DeliveryRow]
    ) -> PlannedItem:
        """The item with its verdict by what was made then, and with where its body lies."""
        earlier = max((row for row in same if row.made), key=lambda row: row.id, default=None)
        body = case.message.body if new.body is None else new.body
        body_then = await self._history.sent_body(earlier.id) if earlier is not None else None
        if body == case.message.body:
            source = BodySource.MESSAGE if self._manner.edited is None else BodySource.EDITED
        else:
            source = BodySource.EARLIER if body == body_then else BodySource.MADE
        verdict, cause, text = self._verdict(case, new, earlier, body, body_then)
        return replace(
            item,
            verdict=verdict,
            cause=cause,
            text=text + _doubt(same),
            earlier_id=earlier.id if earlier is not None else None,
            made=replace(new, body=body if source is BodySource.MADE else None),
            body_source=source,
            body_digest=hashlib.sha256(body).hexdigest(),
        )

    def _verdict(
        self, case: Case, new: NewDelivery, earlier: DeliveryRow | None, body: bytes, body_then: bytes | None
    ) -> tuple[Verdict, str, str]:
        if earlier is None or body_then is None:
            failed_then = any(row.key == new.key for row in case.kin)
            if not failed_then and (
                any(row.made for row in case.kin)
                or case.subject.row.state in (MessageState.UNROUTED, MessageState.FILTERED)
            ):
                return Verdict.CHANGED, "new-way", f"route {new.route} did not make it then"
            return Verdict.SEND, "", "made for the first time"
        changes = list(self._changes(new, earlier, body, body_then))
        if self._manner.edited is not None:
            changes.insert(0, "the message was edited")
        if changes:
            return Verdict.CHANGED, "changed", "; ".join(changes)
        return Verdict.SEND, "", "the same as was made then"

    def _changes(self, new: NewDelivery, earlier: DeliveryRow, body: bytes, body_then: bytes) -> Iterator[str]:
        """In what a delivery is not what it was then: names and paths, never values."""
        if body != body_then:
            its_format = self._rehearsal.format_of(new.destination)
            paths = [one.path for one in field_differences(body_then, body, its_format)] if its_format else []
            yield _listed([path for path in paths if path]) or "its writing differs"
        if new.content_type != earlier.content_type:
            yield f"it is {new.content_type or 'of no type'} and was {earlier.content_type or 'of no type'}"
        if new.lane != earlier.lane:
            yield "it goes by another lane"

    def _not_made(self, case: Case, handoff: Handoff, made: set[Way]) -> Iterator[PlannedItem]:
        """The ways that were taken then, or failed, and that this configuration does not take."""
        subject = case.subject
        then: dict[Way, DeliveryRow] = {}
        for row in case.kin if subject.is_whole else subject.letters:
            way = Way(row.route, row.destination)
            if way not in made and self._manner.way.covers(way):
                then[way] = row
        for way in then:
            same = [row for row in case.kin if Way(row.route, row.destination) == way]
            item = blocked(subject, *self._why_not(way, handoff), way)
            refused = None if self._manner.renewal else _refused(item, same, again=self._manner.again)
            yield refused or item

    def _why_not(self, way: Way, handoff: Handoff) -> tuple[str, str]:
        if way.route not in self._rehearsal.routes():
            return "no-route", f"there is no route {way.route} in that configuration"
        if handoff.state is MessageState.ROUTED:
            return "not-taken", f"route {way.route} does not send it to {way.destination} in that configuration"
        return self._why_nothing(handoff)

    def _why_nothing(self, handoff: Handoff) -> tuple[str, str]:
        match handoff.state:
            case MessageState.FILTERED:
                return "filtered", f"filtered: {handoff.text}"
            case MessageState.DEAD:
                return handoff.cause, f"it cannot be read: {handoff.text}"
            case MessageState.UNROUTED:
                return "unrouted", "no route wants it"
            case _:
                return "not-taken", "its routes do not send it there"


def _refused(item: PlannedItem, same: Sequence[DeliveryRow], *, again: bool) -> PlannedItem | None:
    """The item as it does not go, because its key was sent before or is under way; None when it may go."""
    sent = next((row for row in reversed(same) if row.state is DeliveryState.SENT), None)
    if sent is not None and not again:
        text = f"sent on {isoformat(sent.settled_at)} as delivery {sent.id}, under the same key"
        return replace(
            item, verdict=Verdict.SUPPRESSED, cause="already-sent", text=text, earlier_id=sent.id, key=sent.key
        )
    open_one = next((row for row in same if row.state in UNDER_WAY), None)
    if open_one is None:
        return None
    text = f"delivery {open_one.id} with the same key is {open_one.state}"
    if open_one.state is DeliveryState.PARKED:
        text += ": it goes when its mapping is entered"
    return replace(item, verdict=Verdict.BLOCKED, cause="under-way", text=text, earlier_id=open_one.id)


def _stands_for(case: Case, way: Way, same: Sequence[DeliveryRow]) -> int | None:
    """The dead letter that a delivery on this way settles: that of its key, else one that was never made on its way,
    else the dead message itself (0)."""
    rows = [*same, *(row for row in case.kin if Way(row.route, row.destination) == way and not row.made)]
    troubled = next((row.id for row in rows if row.state in TROUBLED), None)
    if troubled is not None:
        return troubled
    has_letters = any(row.state in TROUBLED for row in case.own)
    return 0 if case.subject.row.state is MessageState.DEAD and not has_letters else None


def _renewed(key: str, intent: int, renewal: str) -> str:
    """A key of ``store-intent-route-destination`` for a new intent of the same message."""
    if not renewal:
        return key
    store, _, rest = key.partition("-")
    return f"{store}-{intent}.{renewal}{rest.removeprefix(str(intent))}"


def _doubt(rows: Sequence[DeliveryRow]) -> str:
    is_unsure = any(row.state is DeliveryState.UNSURE for row in rows)
    return "; its answer was lost then, so it may have been taken: the same key goes again" if is_unsure else ""


def _listed(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    shown = ", ".join(paths[:FIELDS_SHOWN])
    more = f" and {len(paths) - FIELDS_SHOWN} more" if len(paths) > FIELDS_SHOWN else ""
    return f"{len(paths)} field{'s differ' if len(paths) > 1 else ' differs'}: {shown}{more}"

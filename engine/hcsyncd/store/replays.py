"""Replays in the store: plans kept page by page, their changes of state, and what is told about them."""

from __future__ import annotations

import hashlib
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hcsyncd.clock import MICROSECONDS
from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Keys
from hcsyncd.store.ports import (
    NO_BYTES,
    Applied,
    BodySource,
    ItemRow,
    ItemState,
    Link,
    NewDelivery,
    NewReplay,
    PlannedItem,
    PlannedPage,
    ReplayRow,
    ReplayState,
    Step,
    Tally,
    Turn,
    Verdict,
)
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.replay_step import STEP
from hcsyncd.store.rows import render_mapping
from hcsyncd.store.transaction import Transaction, select
from hcsyncd.store.writer import Work, Writer

MAX_NUMBER = 2**63 - 1
_decode_keys = msgspec.json.Decoder(Keys).decode
_encode = msgspec.json.encode
_NOTHING_MADE = NewDelivery("", "", "", "", "")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of state, from any of some states; ``values`` are the query's own."""

    replay_id: int
    sources: frozenset[ReplayState]
    query: str
    values: Mapping[str, Any]
    digest: str = ""  # not empty: made for this plan alone, and only in its time


class SqliteReplays:
    """The replays' port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def begin(self, new: NewReplay) -> Future[int]:
        return self._writer.submit(BEGIN, new, len(new.body or NO_BYTES))

    def add(self, page: PlannedPage) -> Future[Turn]:
        bodies = (item.made.body for item in page.items if item.made is not None and item.made.body is not None)
        return self._writer.submit(ADD, page, sum(map(len, bodies)))

    def apply(self, replay_id: int, by: str, digest: str) -> Future[Turn]:
        return self._change(replay_id, "apply_replay", {ReplayState.PLANNED}, digest, by=by)

    def hold(self, replay_id: int, note: str) -> Future[Turn]:
        return self._change(replay_id, "hold_replay", {ReplayState.RUNNING}, note=note)

    def resume(self, replay_id: int) -> Future[Turn]:
        return self._change(replay_id, "resume_replay", {ReplayState.HELD})

    def cancel(self, replay_id: int, note: str) -> Future[Turn]:
        open_states = {ReplayState.PLANNING, ReplayState.PLANNED, ReplayState.RUNNING, ReplayState.HELD}
        return self._change(replay_id, "end_replay", open_states, state=ReplayState.CANCELLED, note=note)

    def fail(self, replay_id: int, note: str) -> Future[Turn]:
        return self._change(replay_id, "end_replay", {ReplayState.PLANNING}, state=ReplayState.FAILED, note=note)

    def finish(self, replay_id: int) -> Future[Turn]:
        return self._change(replay_id, "end_replay", {ReplayState.RUNNING}, state=ReplayState.DONE, note="")

    def _change(
        self, replay_id: int, query: str, sources: set[ReplayState], digest: str = "", **values: Any
    ) -> Future[Turn]:
        return self._writer.submit(CHANGE, _Change(replay_id, frozenset(sources), query, values, digest))

    def expire(self) -> Future[list[int]]:
        return self._writer.submit(EXPIRE, None)

    def tidy(self, limit: int) -> Future[int]:
        return self._writer.submit(TIDY, limit)

    def step(self, step: Step) -> Future[Applied]:
        return self._writer.submit(STEP, step)

    async def rows(self, before: int = 0, limit: int = 100) -> list[ReplayRow]:
        return [_replay_row(row) for row in await self._readers.rows("replay_rows", (before or MAX_NUMBER, limit))]

    async def row(self, replay_id: int) -> ReplayRow | None:
        rows = await self._readers.rows("replay_row", (replay_id,))
        return _replay_row(rows[0]) if rows else None

    async def in_state(self, state: ReplayState) -> list[ReplayRow]:
        return [_replay_row(row) for row in await self._readers.rows("replays_in_state", (state,))]

    async def items(self, replay_id: int, after_id: int, limit: int) -> list[ItemRow]:
        return [_item_row(row) for row in await self._readers.rows("replay_items", (replay_id, after_id, limit))]

    async def tallies(self, replay_id: int) -> list[Tally]:
        rows = await self._readers.rows("replay_tallies", (replay_id,))
        return [
            Tally(Verdict(verdict), ItemState(state), DeliveryState(delivery) if delivery else None, count)
            for verdict, state, delivery, count in rows
        ]

    async def destinations(self, replay_id: int) -> list[str]:
        return [row[0] for row in await self._readers.rows("replay_destinations", (replay_id,))]

    async def under_way(self, replay_id: int) -> list[tuple[int, str, bool]]:
        rows = await self._readers.rows("replay_under_way", (replay_id,))
        return [(delivery_id, destination, bool(as_made)) for delivery_id, destination, as_made in rows]

    async def still_open(self, delivery_ids: Sequence[int]) -> set[int]:
        rows = await self._readers.read(lambda connection: select(connection, "open_among", delivery_ids))
        return {row[0] for row in rows}

    async def kin(self, intents: Sequence[int]) -> dict[int, list[int]]:
        rows = await self._readers.read(
            lambda connection: [*select(connection, "kin", intents), *select(connection, "kin_copies", intents)]
        )
        found: dict[int, list[int]] = {intent: [] for intent in intents}
        for message_id, intent in rows:
            if intent in found and message_id not in found[intent]:
                found[intent].append(message_id)
        return found

    async def links(self, message_id: int) -> list[Link]:
        rows = await self._readers.rows("replay_links", {"message_id": message_id})
        return [Link(replay_id, original, copy_id, ReplayState(state)) for replay_id, original, copy_id, state in rows]


# Planning


def _begin(transaction: Transaction, group: list[NewReplay]) -> list[int]:
    return [_begin_one(transaction, new) for new in group]


def _begin_one(transaction: Transaction, new: NewReplay) -> int:
    last: int = transaction.connection.execute(QUERIES["last_replay"].text).get
    body_id = None
    if new.body is not None:
        body_id = transaction.next_body()
        transaction.insert("insert_bodies", [(body_id, new.body)])
    keys = _encode(new.keys).decode() if new.keys is not None else ""
    length = len(new.body) if new.body is not None else 0
    ceiling = transaction.last_message
    row = (last + 1, new.author, new.reason, new.asked, transaction.now, ceiling, body_id, length, keys)
    transaction.insert("insert_replay", [row])
    return last + 1


def _add(transaction: Transaction, group: list[PlannedPage]) -> list[Turn]:
    return [_add_page(transaction, page) for page in group]


def _add_page(transaction: Transaction, page: PlannedPage) -> Turn:
    replay = _replay(transaction, page.replay_id)
    if replay.state is not ReplayState.PLANNING:
        return Turn(made=False, replay=replay)
    items = _without_those_in_hand(transaction, replay.id, page.items)
    transaction.insert("insert_replay_items", [_item(transaction, replay.id, item) for item in items])
    digest = replay.digest
    for item in items:
        digest = _chained(digest, item)
    connection = transaction.connection
    connection.execute(
        QUERIES["advance_plan"].text, {"position": page.position, "digest": digest, "replay_id": replay.id}
    )
    if page.is_last:
        expires_at = transaction.now + int(page.expire_secs * MICROSECONDS)
        names = {"now": transaction.now, "expires_at": expires_at, "replay_id": replay.id}
        connection.execute(QUERIES["end_planning"].text, names)
    return Turn(made=True, replay=_replay(transaction, replay.id))


def _without_those_in_hand(
    transaction: Transaction, replay_id: int, items: Sequence[PlannedItem]
) -> Sequence[PlannedItem]:
    """The items, with those blocked whose message an open replay has already."""
    intents = sorted({item.intent for item in items if item.verdict in (Verdict.SEND, Verdict.CHANGED)})
    holders: dict[int, str] = {}
    for intent, holder, state, expires_at in transaction.select("replays_in_hand", intents):
        if holder != replay_id and not (state == ReplayState.PLANNED and expires_at <= transaction.now):
            holders[intent] = f"replay {holder}, which is {state}, has it already: apply or cancel that one first"
    if not holders:
        return items
    return [
        msgspec.structs.replace(item, verdict=Verdict.BLOCKED, cause="in-other-replay", text=holders[item.intent])
        if item.intent in holders and item.verdict in (Verdict.SEND, Verdict.CHANGED)
        else item
        for item in items
    ]


def _item(transaction: Transaction, replay_id: int, item: PlannedItem) -> tuple[Any, ...]:
    goes = item.verdict in (Verdict.SEND, Verdict.CHANGED)
    made = item.made if goes and item.made is not None else _NOTHING_MADE
    body_id, length = _body_place(transaction, replay_id, item) if goes else (None, 0)
    return (
        replay_id,
        item.message_id,
        item.intent,
        item.route,
        item.destination,
        item.verdict,
        ItemState.PENDING if goes else ItemState(item.verdict.value),
        item.cause,
        item.text,
        item.earlier_id,
        item.stands_for,
        item.as_made,
        item.made.generation if item.made is not None else 0,
        item.key,
        made.lane,
        made.content_type,
        made.type,
        made.control_id,
        render_mapping(made.headers),
        _encode(made.business_keys).decode() if made.business_keys else "",
        body_id,
        length,
        body_id is not None and item.body_source is BodySource.MADE and not item.as_made,
    )


def _body_place(transaction: Transaction, replay_id: int, item: PlannedItem) -> tuple[int | None, int]:
    """Where the body of an item lies, and its length; one that lies nowhere yet is stored."""
    connection = transaction.connection
    if item.as_made:
        found = connection.execute(QUERIES["delivery_body_place"].text, (item.stands_for,)).fetchone()
    elif item.body_source is BodySource.MESSAGE:
        found = connection.execute(QUERIES["message_body_place"].text, (item.message_id,)).fetchone()
    elif item.body_source is BodySource.EARLIER:
        found = connection.execute(QUERIES["delivery_body_place"].text, (item.earlier_id,)).fetchone()
    elif item.body_source is BodySource.EDITED:
        found = connection.execute(QUERIES["replay_edited_body"].text, (replay_id,)).fetchone()
    else:
        body = item.made.body if item.made is not None and item.made.body is not None else NO_BYTES
        body_id = transaction.next_body()
        transaction.insert("insert_bodies", [(body_id, body)])
        return body_id, len(body)
    return (found[0], found[1]) if found else (None, 0)


def _chained(digest: str, item: PlannedItem) -> str:
    """The digest of a plan with one more item."""
    parts = (
        digest,
        item.message_id,
        item.route,
        item.destination,
        item.verdict.value,
        item.key,
        item.stands_for,
        item.as_made,
        item.body_digest,
        item.made.generation if item.made is not None else 0,
    )
    return hashlib.sha256(_encode(parts)).hexdigest()


# States


def _change(transaction: Transaction, group: list[_Change]) -> list[Turn]:
    return [_change_one(transaction, asked) for asked in group]


def _change_one(transaction: Transaction, asked: _Change) -> Turn:
    replay = _replay(transaction, asked.replay_id)
    if replay.state not in asked.sources:
        return Turn(made=False, replay=replay)
    if asked.digest and (replay.digest != asked.digest or replay.expires_at <= transaction.now):
        return Turn(made=False, replay=replay)
    names = {**asked.values, "replay_id": asked.replay_id, "now": transaction.now}
    transaction.connection.execute(QUERIES[asked.query].text, names)
    return Turn(made=True, replay=_replay(transaction, asked.replay_id))


def _replay(transaction: Transaction, replay_id: int) -> ReplayRow:
    found: Any = transaction.connection.execute(QUERIES["replay_row"].text, (replay_id,)).fetchone()
    if found is None:
        raise StoreError(f"replay {replay_id} is not in the store")
    return _replay_row(found)


def _expire(transaction: Transaction, group: list[None]) -> list[list[int]]:
    connection = transaction.connection
    found: list[Any] = connection.execute(QUERIES["expired_replays"].text, (transaction.now,)).fetchall()
    ids: list[int] = [row[0] for row in found]
    for replay_id in ids:
        names = {"state": ReplayState.EXPIRED, "now": transaction.now, "note": "not applied in time"}
        connection.execute(QUERIES["end_replay"].text, {**names, "replay_id": replay_id})
    return [ids, *([] for _ in group[1:])]


def _tidy(transaction: Transaction, group: list[int]) -> list[int]:
    return [_tidy_some(transaction, limit) for limit in group]


def _tidy_some(transaction: Transaction, limit: int) -> int:
    found: list[Any] = transaction.connection.execute(QUERIES["unsent_bodies"].text, (limit,)).fetchall()
    transaction.update("forget_item_bodies", [item_id for item_id, _ in found])
    edits: list[Any] = transaction.connection.execute(QUERIES["unsent_edits"].text, (limit,)).fetchall()
    transaction.update("forget_edits", [replay_id for replay_id, _ in edits])
    transaction.update("forget_bodies", [body_id for _, body_id in (*found, *edits)])
    return len(found) + len(edits)


# Rows


def _replay_row(row: tuple[Any, ...]) -> ReplayRow:
    replay_id, state, author, reason, asked, created_at, planned_at, expires_at, applied_at, applied_by = row[:10]
    ended_at, ceiling, position, digest, note, edited_bytes, keys = row[10:]
    return ReplayRow(
        id=replay_id,
        state=ReplayState(state),
        author=author,
        reason=reason,
        asked=asked,
        created_at=created_at,
        planned_at=planned_at,
        expires_at=expires_at,
        applied_at=applied_at,
        applied_by=applied_by,
        ended_at=ended_at,
        ceiling=ceiling,
        position=position,
        digest=digest,
        note=note,
        edited_bytes=edited_bytes,
        keys=_decode_keys(keys) if keys else None,
    )


def _item_row(row: tuple[Any, ...]) -> ItemRow:
    item_id, message_id, route, destination, verdict, state, cause, text, earlier_id, as_made = row[:10]
    generation, key, size, copy_id, delivery_id, delivery_state, applied_at = row[10:]
    return ItemRow(
        id=item_id,
        message_id=message_id,
        route=route,
        destination=destination,
        verdict=Verdict(verdict),
        state=ItemState(state),
        cause=cause,
        text=text,
        earlier_id=earlier_id,
        as_made=bool(as_made),
        generation=generation,
        key=key,
        bytes=size,
        copy_id=copy_id,
        delivery_id=delivery_id,
        delivery_state=DeliveryState(delivery_state) if delivery_state else None,
        applied_at=applied_at,
    )


BEGIN = Work("beginning a replay", _begin)
ADD = Work("keeping a plan", _add)
CHANGE = Work("changing a replay's state", _change)
EXPIRE = Work("letting plans expire", _expire)
TIDY = Work("removing bodies of plans", _tidy)

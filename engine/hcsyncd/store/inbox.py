"""T1: arrivals onto stable storage, with the duplicate rule; and the acknowledgements that are decided later."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hcsyncd.message import Message, MessageState, ReplyState
from hcsyncd.store.marks import Marks
from hcsyncd.store.ports import NO_BYTES, Known, NewMessage, Reply, Stored
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import key_rows, message_from, render_mapping
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

REUSED = "control-id-reused"


class SqliteInbox:
    """The inbox port on the store file."""

    def __init__(self, writer: Writer, readers: Readers, marks: Marks) -> None:
        self._writer = writer
        self._marks = marks
        self._readers = readers

    def put(self, new: NewMessage) -> Future[Stored | Known]:
        return self._writer.submit(PUT, new, len(new.body))

    def decide_reply(self, reply: Reply) -> Future[None]:
        return self._writer.submit(DECIDE_REPLY, reply)

    def mark_replied(self, message_id: int, state: ReplyState) -> None:
        self._marks.add(message_id, state)

    async def undecided(self) -> list[int]:
        return [row[0] for row in await self._readers.rows("undecided_messages")]

    async def received(self, channel: str, after_id: int, limit: int, max_bytes: int) -> list[Message]:
        rows = await self._readers.up_to(
            max_bytes, "received_sizes", lambda: [(channel, after_id, limit)], "messages_with_bodies"
        )
        return [message_from(row) for row in rows]


@dataclass(slots=True)
class _Acquaintance:
    """Which identities and arrival keys are taken, by whom: read once for a group, kept up while it is put."""

    identities: dict[bytes, list[tuple[int, bytes]]] = field(
        default_factory=dict
    )  # (message, fingerprint), oldest first
    arrivals: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def of(cls, transaction: Transaction, group: Sequence[NewMessage]) -> _Acquaintance:
        known = cls()
        identities = [new.identity for new in group if new.identity]
        for identity, message_id, fingerprint in transaction.select("messages_by_identity", identities):
            known.identities.setdefault(identity, []).append((message_id, fingerprint))
        keys = [new.arrival_key for new in group if new.arrival_key]
        known.arrivals.update(transaction.select("arrivals_by_key", keys))
        return known

    def original_of(self, new: NewMessage) -> int | None:
        """The message that ``new`` is a duplicate of."""
        if new.arrival_key and (taken := self.arrivals.get(new.arrival_key)) is not None:
            return taken
        for message_id, fingerprint in self.identities.get(new.identity, ()):
            if fingerprint == new.fingerprint:
                return message_id
        return None

    def namesake_of(self, new: NewMessage) -> int | None:
        """The latest message with the identity of ``new``, which is known to say something else."""
        same = self.identities.get(new.identity)
        return same[-1][0] if same else None


def _put(transaction: Transaction, group: list[NewMessage]) -> list[Stored | Known]:
    known = _Acquaintance.of(transaction, group)
    answers: list[Stored | int] = []  # an int: the original of a duplicate
    bodies: list[tuple[Any, ...]] = []
    messages: list[tuple[Any, ...]] = []
    arrivals: list[tuple[Any, ...]] = []
    keys: list[tuple[Any, ...]] = []
    for new in group:
        original = known.original_of(new)
        if original is not None:
            answers.append(original)
            continue
        reused = known.namesake_of(new)
        refused = reused is not None and new.refuse_changed
        message_id, body_id = transaction.next_message(), transaction.next_body()
        answers.append(Stored(message_id, reused, refused))
        bodies.append((body_id, new.body))
        messages.append(_row(new, message_id, body_id, refused=refused))
        if new.state is MessageState.RECEIVED and not refused:
            transaction.note_received(message_id, body_id, len(new.body))
        if new.identity and not refused and new.state is not MessageState.DEAD:
            known.identities.setdefault(new.identity, []).append((message_id, new.fingerprint))
        if new.arrival_key:
            known.arrivals[new.arrival_key] = message_id
            arrivals.append((new.arrival_key, message_id))
        if new.business_keys:
            keys += key_rows(message_id, 0, new.business_keys)
    transaction.insert("insert_bodies", bodies)
    transaction.insert("insert_messages", messages)
    transaction.insert("insert_arrivals", arrivals)
    if keys:
        transaction.insert("insert_business_keys", keys)
    return _with_replies(transaction, answers)


def _row(new: NewMessage, message_id: int, body_id: int, *, refused: bool) -> tuple[Any, ...]:
    if refused:
        state, cause, reply, application_reply = MessageState.DEAD, REUSED, NO_BYTES, NO_BYTES
        text = "the sender used this control id before, for other content"
    else:
        state, cause, reply, application_reply = new.state, new.cause, new.reply, new.application_reply
        text = new.text
    keys = new.keys
    return (
        message_id,
        new.channel,
        new.received_at,
        keys.type,
        keys.control_id,
        keys.sender,
        keys.receiver,
        state,
        new.reply_state,
        cause,
        text,
        body_id,
        len(new.body),
        new.peer,
        render_mapping(new.facts),
        # A dead message makes no resend a duplicate: the sender was told no, and may mend it and come again.
        None if state is MessageState.DEAD else new.identity or None,
        new.fingerprint,
        reply,
        application_reply,
        new.reply_open or refused,
        new.trace,
        new.parent,
        new.replay_of,
        new.only_route,
        new.only_destination,
    )


def _with_replies(transaction: Transaction, answers: list[Stored | int]) -> list[Stored | Known]:
    """Give the duplicates what their originals were answered."""
    originals = sorted({answer for answer in answers if isinstance(answer, int)})
    replies: Mapping[int, Known] = {
        message_id: Known(message_id, reply, application_reply, ReplyState(state), bool(reply_open))
        for message_id, reply, application_reply, state, reply_open in transaction.select(
            "replies_by_message", originals
        )
    }
    return [replies[answer] if isinstance(answer, int) else answer for answer in answers]


def _decide_reply(transaction: Transaction, group: list[Reply]) -> list[None]:
    # The last word counts, should one message be decided twice in a group.
    rows = {reply.message_id: (reply.message_id, reply.reply, reply.application_reply) for reply in group}
    transaction.insert("decide_replies", list(rows.values()))
    transaction.update("free_identities", [reply.message_id for reply in group if not reply.positive])
    return [None] * len(group)


DECIDE_REPLY = Work("keeping a reply", _decide_reply, rank=0)
PUT = Work("storing an arrival", _put, rank=2)

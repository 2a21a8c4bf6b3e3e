"""What is stored already comes under the newest data key, in the background: after a rotation, and after sealing was
turned on for a clear store.

Small steps go through the writer like any other work, each with its progress in one commit: a step is done or it is
not, whenever the process ends. The old data keys go with the last step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.events import Event, StoreSealed
from hcsyncd.record import Record
from hcsyncd.store.keyring import LASTING, DataKey, Keyring, MasterKey
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.sealing import Sealing, data_key_of
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that hold sealed values. Query ``read`` gives rows behind an id, each with its id, what its bytes are bound
    to, and its values; ``write`` takes an id and the values again; ``kinds`` is what these are sealed as."""

    read: str
    write: str
    kinds: tuple[str, ...]


PARTS: Mapping[str, Part] = {
    "body": Part("reseal_body", "resealed_body", ("body",)),
    "business_key": Part("reseal_business_key", "resealed_business_key", ("key",)),
    "replay": Part("reseal_replay", "resealed_replay", ("asked",)),
    "replay_item": Part("reseal_replay_item", "resealed_replay_item", ("lane", "headers", "found_by")),
    "delivery": Part("reseal_delivery", "resealed_delivery", ("lane", "headers")),
    "message": Part("reseal_message", "resealed_message", ("reply", "application_reply", "facts")),
    "attempt": Part("reseal_attempt", "resealed_attempt", ("answer",)),
    "configuration": Part("reseal_configuration", "resealed_configuration", ("configuration",)),
}
"""By table, in the order in which they are sealed: one from which sealed values are copied comes before the other."""

STEP_ROWS = 128
STEP_BYTES = 512 << 10
PAUSE_SECS = 0.002  # between steps, so that live work always finds the writer free
BUSY_PAUSE_SECS = 0.02  # when live work waits
REBUILD_BYTES = 64 << 20  # a larger file is not built anew while the daemon runs, as nothing is stored meanwhile
RETRY_SECS = 5.0  # after a step that failed, as on a full disk


class KeyStatus(Record, frozen=True):
    """How far the store is sealed."""

    sealed: bool  # False: the store has no key
    master: str = ""  # the fingerprint of the master key
    data_key: int = 0  # the number of the newest one
    data_keys: int = 0  # that something in the store may still need
    made_at: int = 0  # of the newest
    done: int = 0  # rows that are under the newest one, while older ones are being sealed
    rows: int = 0  # of so many; 0: nothing is left to do
    failed: int = 0  # values that did not open, and stay as they are
    remnants: bool = False  # from before it was sealed; they go when the file is built anew


@dataclass(frozen=True, slots=True)
class _Rotation:
    key: DataKey
    master: MasterKey  # to wrap under: the present one or its successor
    store: str


class Resealing:
    """Rotates the keys of an open store, and seals anew what is stored."""

    def __init__(
        self, writer: Writer, readers: Readers, sealing: Sealing, store: str, emit: Callable[[Event], None]
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._sealing = sealing
        self._store = store
        self._emit = emit
        self._rotating = asyncio.Lock()
        self._wanted = asyncio.Event()
        if sealing.keyring.mixed:
            self._wanted.set()

    async def rotate(self, new_master: MasterKey | None = None) -> int:
        """Seal under a fresh data key from now on; its number. With ``new_master`` all data keys are wrapped under it
        in the same commit. What is stored is sealed anew by `run`."""
        async with self._rotating:
            keyring = self._sealing.keyring
            if keyring.current is None or keyring.master is None:
                raise StoreError("the store has no key: give `encryption` of hcsyncd.yaml one, and start again")
            key = DataKey.make(keyring.current.number + 1)
            master = new_master or keyring.master
            await self._writer.submit(ROTATE, _Rotation(key, master, self._store))
            keyring.add(key)
            keyring.master = master
            self._wanted.set()
            return key.number

    async def status(self) -> KeyStatus:
        return await self._readers.read(key_status)

    async def run(self) -> None:
        """Seal anew whatever has to be, until cancelled. Lives through a full disk."""
        while True:
            await self._wanted.wait()
            try:
                await self._seal_all()
            except StoreError:  # told by the writer
                await asyncio.sleep(RETRY_SECS)

    async def _seal_all(self) -> None:
        while True:
            done = await self._writer.submit(RESEAL, None, STEP_BYTES)
            if done is not None:
                break
            await asyncio.sleep(BUSY_PAUSE_SECS if self._writer.pending else PAUSE_SECS)
        await self._writer.submit(FOLLOW, None)  # by then the file and its log are wiped
        async with self._rotating:  # a rotation that came in between begins anew
            status = await self.status()
            if not status.rows:
                self._wanted.clear()
                self._emit(StoreSealed(status.data_key, done))


def key_status(connection: apsw.Connection) -> KeyStatus:
    """How far a store is sealed, as the store says it."""
    keys: list[Any] = connection.execute(QUERIES["data_keys"].text).fetchall()
    if not keys:
        return KeyStatus(sealed=False)
    number, master, _, made_at = keys[-1]
    parts: list[Any] = connection.execute(QUERIES["resealing_parts"].text).fetchall()
    last = last_rows(connection)
    return KeyStatus(
        sealed=True,
        master=master,
        data_key=number,
        data_keys=len(keys) - 1,
        made_at=made_at,
        done=sum(min(done_id, last[part]) for part, done_id, _ in parts),
        rows=sum(last[part] for part, _, _ in parts),
        failed=sum(count for _, _, count in parts),
        remnants=bool(connection.execute(QUERIES["has_remnants"].text).get),
    )


def last_rows(connection: apsw.Connection) -> dict[str, int]:
    """The highest id of each part."""
    row: Any = connection.execute(QUERIES["last_rows"].text).fetchone()
    return dict(zip(PARTS, row, strict=True))


def begin(connection: apsw.Connection, master: MasterKey, store: str, now: int) -> Keyring:
    """Give a clear store its first keys. Values are sealed from now on; those that are there, by `Resealing.run`."""
    lasting, key = DataKey.make(LASTING), DataKey.make(LASTING + 1)
    connection.execute("BEGIN IMMEDIATE")
    for made in (lasting, key):
        _insert(connection, made, master, store, now)
    _begin(connection)
    connection.execute(QUERIES["note_remnants"].text)
    connection.execute("COMMIT")
    return Keyring([key], mixed=True, master=master, lasting=lasting.secret)


def _insert(connection: apsw.Connection, key: DataKey, master: MasterKey, store: str, now: int) -> None:
    wrapped = master.wrap(key.number, store, key.secret)
    connection.execute(QUERIES["insert_data_key"].text, (key.number, now, master.fingerprint, wrapped))


def _begin(connection: apsw.Connection) -> None:
    for part in PARTS:
        connection.execute(QUERIES["begin_resealing"].text, (part,))


def _rotate(transaction: Transaction, group: list[_Rotation]) -> list[None]:
    connection, present = transaction.connection, transaction.sealing.keyring.master
    for asked in group:
        if present is not None and present != asked.master:
            rows: list[Any] = connection.execute(QUERIES["data_keys"].text).fetchall()
            for number, _, wrapped, _ in rows:
                secret = present.unwrap(number, asked.store, wrapped)
                again = asked.master.wrap(number, asked.store, secret)
                connection.execute(QUERIES["rewrap_data_key"].text, (asked.master.fingerprint, again, number))
        _insert(connection, asked.key, asked.master, asked.store, transaction.now)
        _begin(connection)
    return [None] * len(group)


def _reseal(transaction: Transaction, group: list[None]) -> list[int | None]:
    """One step for each asked: None when there is more to do, at the end the number of values that did not open."""
    return [_step(transaction) for _ in group]


def _step(transaction: Transaction) -> int | None:
    connection, sealing = transaction.connection, transaction.sealing
    current = sealing.keyring.current
    assert current is not None
    keys: list[Any] = connection.execute(QUERIES["data_keys"].text).fetchall()
    if keys[-1][0] != current.number:
        return None  # rotated in this very commit: what is sealed by the key before would count as done, and be lost
    rows: list[Any] = connection.execute(QUERIES["resealing_parts"].text).fetchall()
    done: dict[str, int] = {name: done_id for name, done_id, _ in rows}
    for name, part in PARTS.items():
        done_id = done.get(name, 0)  # none yet: a part that a newer version brought along
        last_id, failed = _seal_some(transaction, part, done_id)
        if last_id > done_id:
            connection.execute(QUERIES["note_resealed"].text, (name, last_id, failed))
            return None
    failures: int = sum(failed for _, _, failed in rows)
    if not failures:  # else the old keys are kept for whoever mends what did not open
        connection.execute(QUERIES["drop_old_data_keys"].text, (current.number,))
    connection.execute(QUERIES["end_resealing"].text)
    size: Any = connection.pragma("page_count") * connection.pragma("page_size")
    remnants: Any = connection.execute(QUERIES["has_remnants"].text).get
    transaction.rebuild = bool(remnants) and size <= REBUILD_BYTES
    transaction.wipe_log = True  # which holds pages from before
    return failures


def _seal_some(transaction: Transaction, part: Part, after_id: int) -> tuple[int, int]:
    """Seal some rows of a part behind an id: the last one's id (the given one: there are no more), and how many values
    did not open."""
    connection, sealing = transaction.connection, transaction.sealing
    assert sealing.keyring.current is not None
    newest = sealing.keyring.current.number
    size = failed = 0
    changed: list[tuple[Any, ...]] = []
    rows: Any = connection.execute(QUERIES[part.read].text, (after_id, STEP_ROWS))
    for row_id, bound_to, *values in rows:
        after_id = row_id
        size += sum(map(len, values))
        if any(value and data_key_of(value) != newest for value in values):
            anew = []
            for what, value in zip(part.kinds, values, strict=True):
                try:
                    anew.append(_anew(sealing, what, bound_to, value))
                except StoreError:
                    anew.append(value)
                    failed += 1
            changed.append((row_id, *anew))
        if size >= STEP_BYTES:
            break
    if changed:
        connection.executemany(QUERIES[part.write].text, changed)
    return after_id, failed


def _anew(sealing: Sealing, what: str, row: int, value: bytes | str) -> bytes | str:
    opened = sealing.open_value(value, what, row)
    return sealing.seal_text(what, opened) if isinstance(opened, str) else sealing.seal_bytes(what, row, opened)


RESEAL: Work[None, int | None] = Work("sealing what is stored", _reseal)
FOLLOW: Work[None, None] = Work("following what was sealed", lambda _transaction, group: [None] * len(group))
ROTATE: Work[_Rotation, None] = Work("rotating the keys", _rotate)

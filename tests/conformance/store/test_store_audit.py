"""The audit log: a chain in which every edit, gap, move and cut shows, and which can be asked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from hcsyncd.store.audit import verify_audit
from hcsyncd.store.audit_anchor import ANCHOR_FILE, read_anchor, write_anchor
from hcsyncd.store.audit_chain import ChainKeys
from hcsyncd.store.ports import Anchor, AuditEntry, AuditFilter, NewEntry
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.store_drivers import Open, Ports

COLUMNS = ("at", "user_id", "user", "process_id", "verb", "access", "what", "outcome", "key_id", "previous", "hash")
REORDER = """
UPDATE audit SET number = -number WHERE number IN (2, 3);
UPDATE audit SET number = 5 + number WHERE number < 0;
"""
INSERT = """
UPDATE audit SET number = number + 1000 WHERE number >= 3;
UPDATE audit SET number = number - 999 WHERE number > 1000;
INSERT INTO audit
SELECT 3, at, user_id, 'berta', process_id, verb, access, what, outcome, key_id, previous, hash
FROM audit WHERE number = 4;
"""
KEYS = ChainKeys("k1", {"k1": b"a key that only the daemon has"})


def entry(number: int = 1, **fields: Any) -> NewEntry:
    known: dict[str, Any] = {
        "user_id": 1000,
        "user": "anna",
        "process_id": 4711,
        "verb": "messages.show",
        "access": "sees",
        "what": f'{{"body":true,"id":{number}}}',
    }
    return NewEntry(**(known | fields))


async def fill(store: Ports, count: int = 5) -> list[AuditEntry]:
    return [await store.audit.append(entry(number)) for number in range(1, count + 1)]


@pytest.fixture
async def whole(tmp_path: Path) -> Path:
    """The file of a closed store with five entries."""
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    await fill(store)
    await store.close()
    return tmp_path / FILE


def findings_after(file: Path, change: Callable[[apsw.Connection], object], *anchors: Anchor) -> list[tuple[int, str]]:
    connection = apsw.Connection(str(file))
    try:
        change(connection)
        return [(finding.number, finding.code) for finding in verify_audit(connection, anchors)]
    finally:
        connection.close()


async def test_entries_follow_from_one_another(store: Ports) -> None:
    entries = await fill(store)
    assert [one.number for one in entries] == [1, 2, 3, 4, 5]
    assert all(later.previous == earlier.hash for earlier, later in itertools.pairwise(entries))
    assert await store.audit.head() == Anchor(5, entries[-1].hash)


async def test_the_chain_goes_on_after_a_restart(reopen: Open) -> None:
    first = await fill(await reopen(), 2)
    again = await reopen()
    third = await again.audit.append(entry(3))
    assert (third.number, third.previous) == (3, first[-1].hash)
    assert [finding.code for finding in (await again.audit.verify()).findings] == ["no-anchor"]


async def test_entries_of_one_moment_share_a_commit_and_are_a_chain(store: Ports) -> None:
    futures = [store.audit.append(entry(number)) for number in range(200)]
    assert [(await future).number for future in futures] == list(range(1, 201))
    verified = await store.audit.verify([Anchor(200, (await futures[-1]).hash)])
    assert (verified.entries, [finding.code for finding in verified.findings]) == (200, ["no-anchor"])


def test_a_log_that_nobody_touched_is_whole(whole: Path) -> None:
    assert findings_after(whole, lambda _: None) == []


def test_any_single_byte_of_any_entry_that_is_not_as_it_was_is_found(whole: Path) -> None:
    connection = apsw.Connection(str(whole))
    chance = random.Random(4)
    tried = 0
    for number, column in itertools.product(range(1, 6), COLUMNS):
        value: Any = connection.execute(f"SELECT {column} FROM audit WHERE number = {number}").get
        raw = (
            value.to_bytes(8, "big") if isinstance(value, int) else value.encode() if isinstance(value, str) else value
        )
        for place in range(len(raw)):
            changed = bytearray(raw)
            changed[place] ^= chance.randrange(1, 128 if isinstance(value, int) else 256)
            other: Any = int.from_bytes(changed, "big", signed=True) if isinstance(value, int) else bytes(changed)
            as_text = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
            connection.execute("BEGIN")
            connection.execute(f"UPDATE audit SET {column} = {as_text} WHERE number = {number}", (other,))
            found = verify_audit(connection)
            connection.execute("ROLLBACK")
            assert found, f"{column} of entry {number}, byte {place}"
            assert found[0].number in (number, number + 1)
            tried += 1
    connection.close()
    assert tried > 600


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ("UPDATE audit SET user = 'berta' WHERE number = 3", (3, "edited")),
        ("UPDATE audit SET user = user || char(0) WHERE number = 3", (3, "edited")),
        ("DELETE FROM audit WHERE number = 3", (3, "missing")),
        ("DELETE FROM audit WHERE number IN (2, 3)", (2, "missing")),
        ("DELETE FROM audit WHERE number = 1", (1, "missing")),
        (REORDER, (2, "out-of-chain")),
        (INSERT, (3, "edited")),
    ],
    ids=["edited", "a zero byte added", "deleted", "two deleted", "the first deleted", "reordered", "inserted"],
)
def test_what_was_done_to_a_log_is_found_at_the_first_bad_entry(
    whole: Path, change: str, first: tuple[int, str]
) -> None:
    assert findings_after(whole, lambda connection: connection.execute(change))[0] == first


async def test_an_end_that_was_cut_off_is_found_by_an_anchor(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    head = (await fill(store))[-1]
    await store.close()

    def cut(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM audit WHERE number > 3")

    assert findings_after(tmp_path / FILE, lambda _: None, Anchor(5, head.hash)) == []
    assert findings_after(tmp_path / FILE, cut) == []
    assert findings_after(tmp_path / FILE, cut, Anchor(5, head.hash)) == [(4, "cut-off")]


async def test_a_log_that_was_written_anew_is_found_by_an_anchor(tmp_path: Path) -> None:
    first = await Store.open(tmp_path / "first", RecordedEvents(), FakeClock())
    head = (await fill(first))[2]
    await first.close()

    def write_anew(connection: apsw.Connection) -> None:
        connection.execute("UPDATE audit SET hash = x'00' WHERE number = 3")

    found = findings_after(tmp_path / "first" / FILE, write_anew, Anchor(3, head.hash))
    assert (3, "other-anchor") in found


async def test_under_a_key_nobody_without_it_can_write_the_chain_anew(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    await store.audit.append(entry(1))
    store.audit.use_keys(KEYS)
    sealed = await store.audit.append(entry(2))
    assert sealed.key_id == "k1"
    await store.close()
    connection = apsw.Connection(str(tmp_path / FILE))
    assert verify_audit(connection, keys=KEYS) == []
    assert [finding.code for finding in verify_audit(connection)] == ["unknown-key"]
    other = ChainKeys("k1", {"k1": b"a guess"})
    assert [finding.code for finding in verify_audit(connection, keys=other)] == ["edited"]
    connection.execute("DELETE FROM audit WHERE number = 2")  # and so back to a chain that needs no key
    assert [finding.code for finding in verify_audit(connection, keys=KEYS)] == ["unkeyed"]
    connection.close()


async def test_old_entries_are_cut_in_order_and_the_log_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await Store.open(tmp_path, RecordedEvents(), clock)
    await fill(store, 5)
    clock.advance(86_400)
    await fill(store, 2)
    by = entry(verb="ignored", access="changes", outcome="done")
    assert await store.audit.cut(clock.now(), by, limit=3) == 3
    assert await store.audit.cut(clock.now(), by, limit=3) == 2
    assert await store.audit.cut(clock.now(), by, limit=3) == 0
    kept = await store.audit.find(AuditFilter(newest_first=False))
    assert [(one.number, one.verb) for one in kept] == [
        (6, "messages.show"),
        (7, "messages.show"),
        (8, "audit.cut"),
        (9, "audit.cut"),
    ]
    await store.close()
    assert findings_after(tmp_path / FILE, lambda _: None) == []
    assert findings_after(tmp_path / FILE, lambda c: c.execute("DELETE FROM audit WHERE number = 6")) == [
        (1, "missing")
    ]


async def test_the_newest_entry_is_never_cut(store: Ports) -> None:
    await fill(store, 1)
    assert await store.audit.cut(2**62, entry(verb="x")) == 0


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (AuditFilter(), [6, 5, 4, 3, 2, 1]),
        (AuditFilter(newest_first=False, limit=2), [1, 2]),
        (AuditFilter(after=4, limit=2), [3, 2]),
        (AuditFilter(after=4, newest_first=False), [5, 6]),
        (AuditFilter(user="berta"), [3]),
        (AuditFilter(user="1000"), [6, 5, 4, 2, 1]),
        (AuditFilter(verb="dead.*"), [4]),
        (AuditFilter(message_ids=(17,)), [4, 1]),
        (AuditFilter(message_ids=(1, 18)), [4]),
        (AuditFilter(pseudonyms=("key:77",)), [5]),
        (AuditFilter(message_ids=(17,), pseudonyms=("key:77",)), [5, 4, 1]),
        (AuditFilter(since=1_700_000_003_000_000, until=1_700_000_005_000_000), [4, 3]),
    ],
)
async def test_the_log_can_be_asked(tmp_path: Path, wanted: AuditFilter, numbers: list[int]) -> None:
    clock = FakeClock()
    store = await Store.open(tmp_path, RecordedEvents(), clock)
    for new in (
        entry(what='{"body":true,"id":17}'),
        entry(verb="alerts.acknowledge", what='{"id":17}'),
        entry(user="berta", user_id=1001, what='{"id":170}'),
        entry(verb="dead.replay", what='{"ids":[16,17,18]}'),
        entry(verb="find", what='{"word":"key:77"}'),
        entry(verb="reload", what="{}"),
    ):
        clock.advance(1)
        await store.audit.append(new)
    assert [one.number for one in await store.audit.find(wanted)] == numbers
    await store.close()


async def test_a_business_key_has_one_pseudonym_in_a_store_and_another_in_the_next(tmp_path: Path) -> None:
    first = await Store.open(tmp_path / "first", RecordedEvents(), FakeClock())
    second = await Store.open(tmp_path / "second", RecordedEvents(), FakeClock())
    assert first.audit.pseudonym("123") == first.audit.pseudonym("123") != first.audit.pseudonym("124")
    assert first.audit.pseudonym("123") != second.audit.pseudonym("123")
    await first.close()
    await second.close()


async def test_the_anchor_beside_the_store_is_part_of_the_proof(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    entries = await fill(store)
    write_anchor(tmp_path, Anchor(5, entries[-1].hash))
    assert read_anchor(tmp_path) == Anchor(5, entries[-1].hash)
    assert await store.audit.verify() == await store.audit.verify([Anchor(3, entries[2].hash)])
    verified = await store.audit.verify()
    assert (verified.entries, verified.findings) == (5, ())
    assert verified.head == f"5:{entries[-1].hash.hex()}"
    (tmp_path / ANCHOR_FILE).write_text("{}")
    assert [finding.code for finding in (await store.audit.verify()).findings] == ["no-anchor"]
    await store.close()


async def test_a_long_log_is_read_entry_by_entry(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    await store.close()
    connection = apsw.Connection(str(tmp_path / FILE))
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    connection.execute(
        f"{rows} INSERT INTO audit SELECT i, 0, 0, 'u', 0, 'v', 'a', '{{}}', 'given', '', x'00', x'00' FROM n"
    )
    found = verify_audit(connection)
    assert found[0].number == 1
    assert len(found) == 100, "a chain that is broken all over is not told of entry by entry"
    connection.close()

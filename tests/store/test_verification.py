"""Whether a store is whole: each kind of harm is found, and a whole store has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.backup import obey
from hcsyncd.store.copies import verify_file
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import NewEntry
from hcsyncd.store.sealing import Sealing
from hcsyncd.store.store import FILE, Store
from hcsyncd.store.verification import Balance, Problem
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

KEY = MasterKey(bytes(32))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A message in each place where one may be."""
    opened = await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)
    for number, (message_state, delivery_state) in enumerate(
        [
            (MessageState.ROUTED, DeliveryState.SENT),
            (MessageState.ROUTED, DeliveryState.DEAD),
            (MessageState.ROUTED, DeliveryState.WAITING),
            (MessageState.ROUTED, DeliveryState.UNSURE),
            (MessageState.ROUTED, DeliveryState.CLOSED),
            (MessageState.FILTERED, DeliveryState.READY),
            (MessageState.UNROUTED, DeliveryState.READY),
            (None, DeliveryState.READY),
        ],
        1,
    ):
        message_id = stored(await opened.inbox.put(arrival(number, facts={"file": "x"})))
        made = (delivery(body=b"out %d" % number, lane=f"lane {number}"),) if message_state == "routed" else ()
        if message_state:
            (ids,) = await opened.outbox.hand_on([handoff(message_id, *made, state=message_state)])
            for delivery_id in ids:
                await opened.outbox.settle(outcome(delivery_id, message_id, delivery_state, answer=b"answer"))
    await opened.inbox.put(arrival(20, state=MessageState.DEAD, cause="no-msh"))
    await opened.audit.append(NewEntry(1, "ann", 1, "messages.show", "sees"))
    await opened.audit.append(NewEntry(1, "ann", 1, "dead.discard", "changes"))
    yield opened
    await opened.close()


async def test_a_whole_store_has_no_problems(store: Store) -> None:
    found = await store.copies.verify(every_value=True)
    assert found.problems == ()
    assert found.balance == Balance(messages=9, delivered=1, filtered=2, dead=3, open=3)
    assert found.sealed
    assert found.complete
    # bodies in and out, replies, facts, lanes, answers
    assert found.opened == (9 + 5) + 9 + 8 + 5 + 5
    sample = await store.copies.verify(every_value=False)
    assert (sample.problems, sample.complete, sample.opened) == ((), False, found.opened)


HARMS = {
    "UPDATE body SET bytes = CAST(bytes || x'00' AS BLOB) WHERE id = 3": ("seal", "the body of body 3"),
    "UPDATE body SET bytes = bytes || x'00' WHERE id = 3": ("file", "a text in it is no UTF-8"),
    "UPDATE message SET facts = 'sealed:1:AAAA' WHERE id = 4": ("seal", "the facts of message 4"),
    "DELETE FROM body WHERE id = 1": ("reference", "1 messages have no body, and retention did not remove it"),
    "DELETE FROM body WHERE id = 2": ("reference", "the first is"),
    "DELETE FROM message WHERE id = 3": ("reference", "1 deliveries belong to no message, the first is 3"),
    "DELETE FROM delivery WHERE id = 2": ("reference", "1 attempts belong to no delivery"),
    "INSERT INTO arrival VALUES (x'00', 99)": ("reference", "1 arrival keys belong to no message, the first is 99"),
    "UPDATE delivery SET state = 'lost' WHERE id = 5": ("reference", "in a state that there is not"),
    "UPDATE message SET state = 'lost' WHERE id = 6": ("counts", "9 messages came in, and 8 are accounted for"),
    "UPDATE message SET state = 'done' WHERE id = 3": ("reference", "in a state that their deliveries do not bear out"),
    "UPDATE message SET state = 'routed' WHERE id = 7": ("reference", "that their deliveries do not bear out"),
    "UPDATE audit SET user = 'eve' WHERE number = 1": ("audit", ""),
    "DELETE FROM audit WHERE number = 1": ("audit", ""),
}


@pytest.mark.parametrize("harm", HARMS)
async def test_a_harmed_store_says_where(store: Store, tmp_path: Path, harm: str) -> None:
    sealing = store.sealing
    await store.close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute(harm)
    connection.close()
    found = verify_file(tmp_path / FILE, sealing, every_value=True)
    code, text = HARMS[harm]
    assert [problem for problem in found.problems if problem.code == code and text in problem.text], found.problems


async def test_a_damaged_file_is_told_and_not_raised(store: Store, tmp_path: Path) -> None:
    sealing = store.sealing
    await store.close()
    file = tmp_path / FILE
    content = bytearray(file.read_bytes())
    for page in range(8, len(content) // 4096, 5):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    file.write_bytes(content)
    found = verify_file(file, sealing, every_value=True)
    assert found.problems
    assert {problem.code for problem in found.problems} >= {"file"}


async def test_without_the_key_the_log_of_a_sealed_store_cannot_be_believed(store: Store, tmp_path: Path) -> None:
    await store.close()
    found = verify_file(tmp_path / FILE, Sealing(), every_value=False)
    assert "audit" in {problem.code for problem in found.problems}
    assert all(isinstance(problem, Problem) for problem in found.problems)


async def test_a_verification_that_is_cancelled_ends_at_once(store: Store) -> None:
    task = asyncio.create_task(store.copies.verify(every_value=True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.copies.verify(every_value=True)).problems == ()


def test_a_reading_obeys_whoever_stops_it() -> None:
    stop = threading.Event()
    connection = apsw.Connection(":memory:")
    obey(connection, stop)
    long = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
    assert connection.execute(long.format(100_000)).get == 100_000
    stop.set()
    with pytest.raises(apsw.InterruptError):
        connection.execute(long.format(1_000_000_000))
    connection.close()

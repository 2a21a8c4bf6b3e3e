"""Values sealed at rest: what opens, what does not, and what a clear store makes of values that look sealed."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import given, strategies

from hcsyncd.errors import StoreError
from hcsyncd.store.keyring import DataKey, Keyring, MasterKey
from hcsyncd.store.sealing import BYTES_MARK, CLEAR, TEXT_MARK, Sealing, data_key_of
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

KEY = MasterKey(bytes(range(32)))


@pytest.fixture
def sealing() -> Sealing:
    return Sealing(Keyring([DataKey.make(1)]))


@given(value=strategies.binary(max_size=200), row=strategies.integers(0, 2**63 - 1))
def test_bytes_come_back(value: bytes, row: int) -> None:
    for sealing in (Sealing(Keyring([DataKey.make(7)])), CLEAR):
        for form in (value, BYTES_MARK + value, BYTES_MARK + b"\x01" + value):
            sealed = sealing.seal_bytes("body", row, form)
            assert sealing.open_bytes(sealed, "body", row) == form
            assert data_key_of(sealed) == (7 if sealing.is_on and form else 0)


@given(value=strategies.text(max_size=50))
def test_texts_come_back_and_equal_texts_stay_equal(value: str) -> None:
    for sealing in (Sealing(Keyring([DataKey.make(7)])), CLEAR):
        for form in (value, TEXT_MARK + value, f"{TEXT_MARK}7:{value}"):
            sealed = sealing.seal_text("lane", form)
            assert sealing.open_text(sealed, "lane") == form
            assert sealing.seal_text("lane", form) == sealed
            assert sealing.candidates("lane", form) == [sealed]


def test_a_sealed_value_shows_nothing(sealing: Sealing) -> None:
    sealed = sealing.seal_bytes("body", 17, b"PID|1||4711" * 10)
    assert b"4711" not in sealed
    assert sealed != sealing.seal_bytes("body", 17, b"PID|1||4711" * 10), "equal bodies cannot be told to be equal"
    assert "4711" not in sealing.seal_text("key", "4711")
    assert sealing.seal_text("key", "4711") != sealing.seal_text("lane", "4711"), "a lane tells nothing of a key"


def test_an_altered_or_moved_value_does_not_open(sealing: Sealing) -> None:
    sealed = sealing.seal_bytes("body", 17, b"PID|1")
    for place in range(5, len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(StoreError, match=r"does not open|data key"):
            sealing.open_bytes(bytes(altered), "body", 17)
    for what, row in (("body", 18), ("reply", 17)):
        with pytest.raises(
            StoreError, match=f"{what} of row {row} in the store does not open: it was altered or moved"
        ):
            sealing.open_bytes(sealed, what, row)
    for cut in (5, 9, 20, len(sealed) - 1):
        with pytest.raises(StoreError):
            sealing.open_bytes(sealed[:cut], "body", 17)
    text = sealing.seal_text("lane", "4711")
    for wrong in (text[:-4], text[:-5] + "AAAA=", f"{TEXT_MARK}x:AA", f"{TEXT_MARK}1:", f"{TEXT_MARK}9:AAAA"):
        with pytest.raises(StoreError):
            sealing.open_text(wrong, "lane")


def test_a_value_names_the_key_that_it_needs(sealing: Sealing) -> None:
    other = Sealing(Keyring([DataKey.make(2)]))
    with pytest.raises(StoreError, match="sealed under data key 1, which is not there"):
        other.open_bytes(sealing.seal_bytes("body", 1, b"x"), "body", 1)


def test_a_text_is_looked_up_in_every_form_while_forms_are_mixed(sealing: Sealing) -> None:
    before = sealing.seal_text("lane", "a")
    sealing.keyring.add(DataKey.make(2))
    after = sealing.seal_text("lane", "a")
    assert sealing.candidates("lane", "a") == [after, before, "a"]
    assert sealing.candidates("lane", "") == [""]
    assert sealing.candidates("lane", f"{TEXT_MARK}x")[-1] == f"{TEXT_MARK}0:{TEXT_MARK}x"


def test_keys_stay_out_of_what_is_shown() -> None:
    key = DataKey.make(1)
    for shown in (repr(KEY), repr(key), repr(Keyring([key], master=KEY, lasting=b"x" * 32)), str(KEY)):
        assert repr(KEY.secret)[2:20] not in shown
        assert repr(key.secret)[2:20] not in shown


async def put_everything(store: Store, mark: str) -> None:
    """A message that holds the mark wherever a store may hold a patient's data."""
    new = arrival(
        1,
        body=f"PID|1||{mark}".encode(),
        fingerprint=b"f",
        reply=f"MSA|AA|{mark}".encode(),
        application_reply=f"MSA|AA|{mark}".encode(),
        facts={"file": f"{mark}.hl7"},
    )
    message_id = stored(await store.inbox.put(new))
    made = delivery(body=f"made of {mark}".encode(), lane=mark, headers={"name": f"{mark}.json"})
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, made)])
    await store.outbox.settle(outcome(delivery_id, message_id, answer=f"no {mark} here".encode()))


def bytes_of(folder: Path) -> bytes:
    """Everything that lies in the store's folder, the write-ahead log too."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_nothing_of_a_message_is_in_the_files_of_a_sealed_store(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)
    await put_everything(store, "QXMARKQX")
    assert (tmp_path / f"{FILE}-wal").stat().st_size > 0
    assert b"QXMARKQX" not in bytes_of(tmp_path), "while it is open"
    (row,) = await store.history.deliveries([1])
    assert row.lane == "QXMARKQX"
    assert await store.history.body(1) == b"PID|1||QXMARKQX"
    assert await store.history.replies(1) == (b"MSA|AA|QXMARKQX", b"MSA|AA|QXMARKQX")
    await store.close()
    assert b"QXMARKQX" not in bytes_of(tmp_path), "after it is closed"
    assert KEY.secret not in bytes_of(tmp_path)


async def test_the_same_message_is_in_the_files_of_a_clear_one(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    await put_everything(store, "QXMARKQX")
    await store.close()
    assert bytes_of(tmp_path).count(b"QXMARKQX") >= 6, "else the test of the sealed one proves nothing"


async def test_a_body_that_looks_sealed_is_taken_as_it_is(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    bodies = [BYTES_MARK, BYTES_MARK + b"\x01" + bytes(40), BYTES_MARK + b"\x00x"]
    for number, body in enumerate(bodies, 1):
        await store.inbox.put(arrival(number, body=body, reply=body))
        assert await store.history.body(number) == body
        assert (await store.history.replies(number))[0] == body
    await store.close()


async def test_a_value_that_was_moved_in_the_file_does_not_open(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)
    for number in (1, 2):
        await store.inbox.put(arrival(number))
    await store.close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("UPDATE body SET bytes = (SELECT bytes FROM body WHERE id = 1) WHERE id = 2")
    connection.close()
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)
    assert await store.history.body(1) == arrival(1).body
    with pytest.raises(StoreError, match="body of row 2 in the store does not open: it was altered or moved"):
        await store.history.body(2)
    await store.close()


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (None, f"the store is sealed with key {KEY.fingerprint}, and no key is given: name it in hcsyncd.yaml"),
        (
            MasterKey(bytes(32)),
            f"sealed with key {KEY.fingerprint}, and key {MasterKey(bytes(32)).fingerprint} is given",
        ),
    ],
    ids=["none", "another"],
)
async def test_a_sealed_store_is_not_opened_without_its_key(
    tmp_path: Path, key: MasterKey | None, complaint: str
) -> None:
    await (await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)).close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match=complaint):
        await Store.open(tmp_path, RecordedEvents(), FakeClock(), key)
    assert (tmp_path / FILE).read_bytes() == before
    await (await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)).close()


async def test_an_altered_data_key_is_refused(tmp_path: Path) -> None:
    await (await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE number = 0) WHERE number = 1")
    connection.close()
    with pytest.raises(StoreError, match="data key 1 of the store does not open with master key"):
        await Store.open(tmp_path, RecordedEvents(), FakeClock(), KEY)

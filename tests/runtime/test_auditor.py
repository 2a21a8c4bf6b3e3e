"""What operators do is noted before it is done, without bodies and without patients, and the log stays anchored."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from hcsyncd.errors import CommandRefused
from hcsyncd.events import AuditAnchored, AuditBroken, GenerationActivated
from hcsyncd.runtime.auditor import Auditor, canonical
from hcsyncd.runtime.control import call, socket_path
from hcsyncd.runtime.verb import Request
from hcsyncd.store.audit_anchor import ANCHOR_FILE, read_anchor
from hcsyncd.store.ports import AuditEntry, AuditFilter
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.desk import Desk
from tests.fakes.events import RecordedEvents

MARK = "QXPATIENTQX"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path / "site") as opened:
        yield opened


def ask(desk: Desk, verb: str, **args: Any) -> Any:
    return call(socket_path(desk.site / "var"), verb, args)


def entries(desk: Desk) -> list[AuditEntry]:
    return desk.run(desk.store.audit.find(AuditFilter(newest_first=False)))


def test_who_saw_a_message_is_noted_and_who_looked_at_a_list_is_not(desk: Desk) -> None:
    message_id = desk.receive()
    ask(desk, "status")
    ask(desk, "messages.list")
    ask(desk, "messages.show", id=message_id, body=True)
    (entry,) = entries(desk)
    assert (entry.verb, entry.access, entry.outcome) == ("messages.show", "sees", "given")
    assert (entry.user_id, entry.process_id) == (os.geteuid(), os.getpid())
    assert json.loads(entry.what)["id"] == message_id


def test_a_command_that_fails_is_noted_twice(desk: Desk) -> None:
    with pytest.raises(CommandRefused):
        ask(desk, "messages.show", id=99, body=True)
    given, failed = entries(desk)
    assert (given.outcome, failed.outcome) == ("given", "failed")
    assert json.loads(failed.what) == {"code": "control", "of": given.number}


def test_a_command_that_cannot_be_noted_is_not_carried_out(desk: Desk) -> None:
    desk.look()
    connection = apsw.Connection(str(desk.site / "var" / FILE))
    connection.execute(
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'the disk is full'); END"
    )
    connection.close()
    with pytest.raises(CommandRefused) as refused:
        ask(desk, "alerts.acknowledge", id=1)
    assert refused.value.reason == "store"
    with pytest.raises(CommandRefused):
        ask(desk, "messages.show", id=desk.receive(), body=True)
    assert entries(desk) == []


class Everything(Request, frozen=True):
    """One field of each sort."""

    id: int = 0
    ids: tuple[int, ...] = ()
    channel: str = ""
    reason: str = ""
    body: bytes = b""
    text: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    named: dict[str, str] = msgspec.field(default_factory=dict)
    words: tuple[str, ...] = ()
    yes: bool = False


def test_no_patient_and_no_body_stand_in_the_log() -> None:
    asked = Everything(
        id=7,
        ids=(1, 2),
        channel="adt_in",
        reason="as the ward asked",
        body=MARK.encode(),
        text=MARK,
        keys=(("mrn", MARK),),
        named={"mrn": MARK},
        words=(MARK, "other"),
    )
    what = canonical(asked, lambda value: f"key:{len(value)}")
    assert MARK not in what
    assert json.loads(what) == {
        "body": {"bytes": 11, "sha256": hashlib.sha256(MARK.encode()).hexdigest()},
        "channel": "adt_in",
        "id": 7,
        "ids": [1, 2],
        "keys": [["mrn", "key:11"]],
        "named": {"mrn": "key:11"},
        "reason": "as the ward asked",
        "text": "key:11",
        "words": ["key:11", "key:5"],
    }


def test_one_request_has_one_text() -> None:
    assert canonical(Everything(), str) == "{}"
    assert canonical(Everything(yes=True, id=1), str) == '{"id":1,"yes":true}'


def test_who_asked_for_a_patient_can_be_asked_by_whoever_has_the_value(desk: Desk) -> None:
    ask(desk, "audit.list", keys=[("mrn", MARK)])
    found = ask(desk, "audit.list", keys=[("mrn", MARK)])
    assert [entry["verb"] for entry in found] == ["audit.list", "audit.list"]
    assert MARK not in json.dumps(found)
    assert len(ask(desk, "audit.list", keys=[("mrn", "another")])) == 1, "only the asking itself"


def test_who_saw_a_message_can_be_asked_by_its_id(desk: Desk) -> None:
    first, second = desk.receive("M1"), desk.receive("M2")
    ask(desk, "messages.show", id=first, body=True)
    ask(desk, "messages.show", id=second, body=True)
    found = ask(desk, "audit.list", ids=[first])
    assert [json.loads(entry["what"])["id"] for entry in found if entry["verb"] == "messages.show"] == [first]


# The daemon's own entries, and the anchor


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


async def opened(folder: Path, events: RecordedEvents) -> tuple[Store, Auditor]:
    store = await Store.open(folder, events, FakeClock())
    return store, Auditor(store.audit, folder, events)


async def test_a_run_is_noted_from_its_start_to_its_end_and_anchored(tmp_path: Path, events: RecordedEvents) -> None:
    store, auditor = await opened(tmp_path, events)
    await auditor.start("1.2.3", "/etc/hcsyncd")
    auditor.hear(GenerationActivated(3, 2, 1, "route events: added"))
    await auditor.stop()
    found = await store.audit.find(AuditFilter(newest_first=False))
    assert [(entry.verb, entry.outcome) for entry in found] == [
        ("daemon.started", "done"),
        ("generation.activated", "done"),
        ("daemon.stopped", "done"),
    ]
    assert json.loads(found[1].what)["changes"] == "route events: added"
    head = await store.audit.head()
    assert head is not None
    assert read_anchor(tmp_path) == head
    assert [event.entry for event in events.of(AuditAnchored)] == [1, 3]
    assert events.of(AuditAnchored)[-1].hash == head.hash.hex()
    assert (await store.audit.verify()).findings == ()
    await store.close()


async def cut(tmp_path: Path, events: RecordedEvents, sql: str) -> list[str]:
    """A run, a change behind the daemon's back, and another run: what a verification finds then."""
    store, auditor = await opened(tmp_path, events)
    for _ in range(3):
        await auditor.start("1.2.3", "site")
    await auditor.stop()
    await store.close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute(sql)
    connection.close()
    store, auditor = await opened(tmp_path, events)
    await auditor.start("1.2.3", "site")
    findings = [finding.code for finding in (await store.audit.verify()).findings]
    await store.close()
    return findings


async def test_a_log_that_was_cut_while_no_daemon_ran_is_told_of_for_ever(
    tmp_path: Path, events: RecordedEvents
) -> None:
    assert await cut(tmp_path, events, "DELETE FROM audit WHERE number > 2") == ["broken-before"]
    assert [event.text for event in events.of(AuditBroken)] == [
        "the audit log ends at entry 2, and its anchor names entry 4"
    ]


async def test_a_log_that_was_written_anew_is_told_of(tmp_path: Path, events: RecordedEvents) -> None:
    findings = await cut(tmp_path, events, "UPDATE audit SET hash = x'00' WHERE number = 4")
    assert findings == ["edited", "broken-before"]
    assert "is not the one that its anchor names" in events.of(AuditBroken)[0].text


async def test_a_log_that_nobody_touched_is_whole_after_a_restart(tmp_path: Path, events: RecordedEvents) -> None:
    assert await cut(tmp_path, events, "SELECT 1") == []
    assert events.of(AuditBroken) == []


async def test_an_anchor_that_cannot_be_read_is_told_of(tmp_path: Path, events: RecordedEvents) -> None:
    store, auditor = await opened(tmp_path, events)
    await auditor.start("1.2.3", "site")
    (tmp_path / ANCHOR_FILE).write_text("not an anchor")
    await auditor.start("1.2.3", "site")
    assert "is not an anchor" in events.of(AuditBroken)[0].text
    await store.close()

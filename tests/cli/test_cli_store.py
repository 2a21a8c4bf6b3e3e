"""`hcsyncd store` against a running daemon's socket, and against a store that no daemon holds."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.config.sealing import read_key, write_key
from hcsyncd.events import BackupFailed, BackupMade
from hcsyncd.message import Keys
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import AuditFilter
from tests.fakes.desk import Desk
from tests.fakes.stored import delivery, handoff

KEY = bytes(range(32))


def types(site: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["store", *args, "--site", str(site)])


def does(site: Path, *args: str) -> str:
    result = types(site, *args)
    assert result.exit_code == 0, result.output
    return result.output


def reads(site: Path, *args: str) -> Any:
    result = types(site, *args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path / "site") as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose daemon has stopped."""
    with Desk(tmp_path / "site") as desk:
        desk.dead_delivery("A1", destination="relay_out")
        desk.receive("A2")
    return desk.site


def test_status_says_how_large_it_is_and_whether_it_is_sealed(desk: Desk, tmp_path: Path) -> None:
    shown = reads(desk.site, "status")
    assert (shown["name"], shown["keys"]["sealed"]) == (desk.store.name, False)
    assert shown["file"]["bytes"] > 0
    text = does(desk.site, "status")
    assert "sealed            no: `encryption` of hcsyncd.yaml" in text
    assert "last backup       none was made while the daemon ran" in text
    made = reads(desk.site, "backup", str(tmp_path))
    assert f"): {made['file']}" in does(desk.site, "status")


def test_backup_into_a_folder_names_itself(desk: Desk, tmp_path: Path) -> None:
    desk.receive("A1")
    result = types(desk.site, "backup", str(tmp_path))
    copy = Path(result.stdout.strip())
    assert copy.parent == tmp_path
    assert copy.name.startswith(f"hcsyncd-{desk.store.name}-20231114T")
    assert "1 messages, 0 deliveries; verified" in result.stderr
    assert [type(event) for event in desk.events if isinstance(event, BackupMade | BackupFailed)] == [BackupMade]
    again = types(desk.site, "backup", str(copy))
    assert (again.exit_code, "is there already: a backup never overwrites" in again.output) == (4, True)
    assert [type(event) for event in desk.events if isinstance(event, BackupMade | BackupFailed)][1:] == [BackupFailed]


def test_backup_restore_and_verify_without_a_daemon(site: Path, tmp_path: Path) -> None:
    copy = reads(site, "backup", str(tmp_path / "copy.db"))["file"]
    before = reads(site, "verify")
    assert before["balance"] == {"messages": 2, "delivered": 0, "filtered": 0, "dead": 1, "open": 1}
    assert types(site, "restore", copy).exit_code == 2, "nobody there to confirm"
    refused = types(site, "restore", copy, "--yes")
    assert (refused.exit_code, "--replace moves it aside" in refused.output) == (1, True)
    said = does(site, "restore", copy, "--replace", "--yes")
    assert "the store is as it was at" in said
    assert "is kept: replaced-" in said
    assert reads(site, "verify")["balance"] == before["balance"]
    with Desk(site) as desk:
        assert desk.receive("A3") > 1_000_000
        (entry,) = desk.run(_restored_entries(desk))
        assert json.loads(entry.what)["file"] == copy


async def _restored_entries(desk: Desk) -> list[Any]:
    return [entry for entry in await desk.store.audit.find(AuditFilter()) if entry.verb == "store.restored"]


def test_restore_keeps_away_from_a_daemon(desk: Desk, tmp_path: Path) -> None:
    copy = reads(desk.site, "backup", str(tmp_path / "copy.db"))["file"]
    result = types(desk.site, "restore", copy, "--replace", "--yes")
    assert (result.exit_code, "in use by process" in result.output) == (1, True)


def test_verify_exits_1_with_findings(site: Path) -> None:
    assert "the store is whole" in does(site, "verify")
    connection = apsw.Connection(str(site / "var" / "store.db"))
    connection.execute("DELETE FROM body")
    connection.close()
    result = types(site, "verify")
    assert result.exit_code == 1
    assert "reference: 2 messages have no body" in result.output
    assert "findings" in result.output


def test_verify_asks_the_daemon(desk: Desk) -> None:
    desk.receive("A1")
    assert "1 messages in = 0 delivered + 0 filtered + 0 dead + 1 open" in does(desk.site, "verify", "--all")


def test_compact_makes_the_file_small(site: Path) -> None:
    with Desk(site) as desk:
        for number in range(20):
            desk.receive(f"B{number}", body=bytes(20_000))
    connection = apsw.Connection(str(site / "var" / "store.db"))
    connection.execute("DELETE FROM body WHERE length(bytes) = 20000")
    connection.close()
    done = reads(site, "compact")
    assert done["after_bytes"] + 300_000 < done["before_bytes"]
    with Desk(site) as desk:
        refused = types(site, "compact")
        assert (refused.exit_code, "in use by process" in refused.output) == (1, True)
        assert desk.run(desk.store.history.body(2))


def test_a_backup_into_a_folder_that_is_not_there_makes_no_file_of_its_name(desk: Desk, tmp_path: Path) -> None:
    nowhere = tmp_path / "nightly"
    result = types(desk.site, "backup", str(nowhere))
    assert (result.exit_code, f"there is no folder {nowhere}: make it first" in result.output) == (4, True)
    assert list(tmp_path.glob("nightly*")) == []


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("routes: []\n")
    for command in (["status"], ["verify"], ["backup", str(tmp_path / "x.db")], ["compact"]):
        result = types(tmp_path, *command)
        assert (result.exit_code, "there is no store in" in result.output) == (1, True), command
    for looks in (["list"], ["verify"]):
        result = CliRunner().invoke(cli, ["audit", *looks, "--site", str(tmp_path)])
        assert (result.exit_code, "there is no store in" in result.output) == (1, True), looks
    assert not (tmp_path / "x.db").exists()
    assert not (tmp_path / "var" / "store.db").exists(), "looking makes none"


# Keys


def test_make_key_prints_a_key_or_writes_one(tmp_path: Path) -> None:
    keys = {CliRunner().invoke(cli, ["store", "make-key"]).stdout for _ in range(3)}
    assert len(keys) == 3
    assert all(len(read_key(key) or b"") == 32 for key in keys)
    file = tmp_path / "key"
    assert CliRunner().invoke(cli, ["store", "make-key", str(file)]).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(read_key(file.read_text()) or b"") == 32
    before = file.read_text()
    refused = CliRunner().invoke(cli, ["store", "make-key", str(file)])
    assert (refused.exit_code, file.read_text()) == (1, before), "a key is never written over"


def seal(site: Path, secret: bytes) -> None:
    (site / "secrets").mkdir(exist_ok=True)
    (site / "secrets" / "store_key").write_text(write_key(secret))
    (site / "secrets" / "store_key").chmod(0o600)
    (site / "hcsyncd.yaml").write_text("encryption: {key: '${secret:store_key}'}\n")


def test_a_sealed_store_without_a_daemon_is_verified_with_the_configured_key(site: Path) -> None:
    seal(site, KEY)
    with Desk(site, MasterKey(KEY)) as desk:
        desk.receive("S1")
        shown = reads(site, "status")
        assert (shown["keys"]["sealed"], shown["keys"]["master"]) == (True, MasterKey(KEY).fingerprint)
        assert "being sealed" in does(site, "status")
    assert reads(site, "verify")["problems"] == []
    (site / "hcsyncd.yaml").write_text("")
    result = types(site, "verify")
    assert result.exit_code == 1
    assert f"the store is sealed with key {MasterKey(KEY).fingerprint}, and no key is given" in result.output


def test_rotate_key_with_and_without_a_new_master(site: Path, tmp_path: Path) -> None:
    seal(site, KEY)
    new = tmp_path / "new_key"
    new.write_text(bytes(32).hex())
    with Desk(site, MasterKey(KEY)) as desk:
        assert "data key 2 seals from now on" in does(site, "rotate-key")
        said = does(site, "rotate-key", "--master", str(new))
        assert (
            f"the master key is {MasterKey(bytes(32)).fingerprint} now: let `encryption` of hcsyncd.yaml name it"
            in said
        )
        assert bytes(32).hex() not in repr(desk.events)
        for wrong in ("no key", write_key(b"short"), ""):
            new.write_text(wrong)
            result = types(site, "rotate-key", "--master", str(new))
            assert (result.exit_code, "does not hold 32 bytes" in result.output) == (4, True)
            assert not wrong or wrong not in result.output
        result = types(site, "rotate-key", "--master", str(tmp_path / "nothing"))
        assert (result.exit_code, "the daemon cannot read the new key" in result.output) == (4, True)
    assert types(site, "rotate-key").exit_code == 3


# Export


def test_export_tells_what_happened_and_nobody_to_whom(desk: Desk, tmp_path: Path) -> None:
    mark = "QXMARKQX"
    dead, delivery_id = desk.dead_delivery("CONTROL1")
    desk.receive(
        f"{mark}2",
        body=f"PID|1||{mark}".encode(),
        facts={"file": f"{mark}.hl7"},
        keys=Keys(f"{mark} 1", f"{mark}2", f"{mark}|HOSP", "RX|LAB"),
        peer="10.0.0.5:40002",
        text=mark,
    )
    file = tmp_path / "extract.sqlite"
    counts = reads(desk.site, "export", str(file))
    assert counts == {"file": str(file), "message": 2, "delivery": 1, "attempt": 1, "business_key": 0}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in (desk.site / "var").glob("export-*")] == [], "the copy is gone"
    assert "last backup       none was made" in does(desk.site, "status"), "an extract is no backup"
    content = file.read_bytes()
    for hidden in (mark, "CONTROL1", "10.0.0.5", "the other side said no"):
        assert hidden.encode() not in content, hidden
    with closing(sqlite3.connect(file)) as extract:
        assert extract.execute("SELECT id, channel, type, state FROM message ORDER BY id").fetchall() == [
            (dead, "adt_in", "ADT^A01", "dead"),
            (dead + 1, "adt_in", "(other)", "received"),
        ]
        ((received_at,),) = extract.execute("SELECT received_at FROM message WHERE id = 1").fetchall()
        assert received_at.startswith("2023-11-14T22:13:")
        peers = {peer for (peer,) in extract.execute("SELECT peer FROM message")}
        assert len(peers) == 1, "one system, whatever port it came from"
        assert peers.pop().startswith("p_")
        joined = "SELECT attempt.seconds, attempt.cause, delivery.destination FROM attempt JOIN delivery"
        assert extract.execute(f"{joined} ON delivery.id = attempt.delivery_id").fetchall() == [
            (0.25, "ack-AR", "relay_out")
        ]
        about = dict(extract.execute("SELECT about, text FROM README").fetchall())
        assert desk.store.name in about["made"]
        assert "Bodies" in about["left out"]
    assert delivery_id
    again = types(desk.site, "export", str(file))
    assert (again.exit_code, "is there already, and an export never overwrites" in again.output) == (1, True)


async def _hand_on(desk: Desk, message_id: int, lane: str) -> None:
    await desk.store.outbox.hand_on([handoff(message_id, delivery(lane=lane, body=b"x"))])


def test_a_sealed_store_is_exported_with_its_key(site: Path, tmp_path: Path) -> None:
    seal(site, KEY)
    with Desk(site, MasterKey(KEY)) as desk:
        message_id = desk.receive("S1")
        desk.run(_hand_on(desk, message_id, lane="QXMARKQX"))
        does(site, "export", str(tmp_path / "running"))
    does(site, "export", str(tmp_path / "stopped"))
    for name in ("running", "stopped"):
        assert b"QXMARKQX" not in (tmp_path / name).read_bytes()
        with closing(sqlite3.connect(tmp_path / name)) as extract:
            lanes = [lane for (lane,) in extract.execute("SELECT lane FROM delivery ORDER BY id")]
        assert lanes[0] == "", "the whole destination is a lane without a name"
        assert lanes[1].startswith("p_")
    (site / "hcsyncd.yaml").write_text("")
    assert types(site, "export", str(tmp_path / "keyless")).exit_code == 1
    assert not (tmp_path / "keyless").exists()


def pseudonym(file: Path) -> str:
    with closing(sqlite3.connect(file)) as extract:
        found: str = extract.execute("SELECT control_id FROM message WHERE id = 1").fetchone()[0]
    return found


def test_pseudonyms_are_the_same_under_one_key_only(site: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(write_key(KEY))
    for name, options in {
        "a": ["--pseudonym-key", str(key)],
        "b": ["--pseudonym-key", str(key)],
        "c": [],
        "d": [],
    }.items():
        does(site, "export", str(tmp_path / name), *options)
    a, b, c, d = (pseudonym(tmp_path / name) for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    key.write_text("not a key")
    result = types(site, "export", str(tmp_path / "e"), "--pseudonym-key", str(key))
    assert (result.exit_code, "does not hold 32 bytes" in result.output) == (2, True)
    assert not (tmp_path / "e").exists()

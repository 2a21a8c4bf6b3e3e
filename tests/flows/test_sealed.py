"""The daemon with a sealed store: messages flow, nothing of them lies on the disk, and keys change while they do."""

from __future__ import annotations

import time
from pathlib import Path

from hcsyncd.store.keyring import MasterKey
from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.flows.conftest import Start, relay

MARK = "QXMARKEDBODYQX"
KEY, NEW_KEY = bytes(range(32)), bytes(32)
SEALED = """\
http: {port: 0}
workers: {count: 1}
encryption: {key: '${secret:store_key}'}
"""


def give_key(daemon: DaemonProcess, secret: bytes) -> None:
    file = daemon.site / "secrets" / "store_key"
    file.write_text(secret.hex())
    file.chmod(0o600)


def where_it_lies(folder: Path, words: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


def until_sealed(daemon: DaemonProcess, data_key: int) -> None:
    deadline = time.monotonic() + 20
    while (keys := daemon.call("store.status")["keys"])["rows"] or keys["data_key"] != data_key:
        assert time.monotonic() < deadline, keys
        time.sleep(0.02)


def refusal(daemon: DaemonProcess) -> str:
    """What a start says that does not succeed."""
    ended = daemon.hcsyncd("run")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr.strip().splitlines()[-1]


def test_a_clear_store_is_sealed_and_its_keys_change_while_messages_flow(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port, lane="PID-5.1"))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("C1", f"{MARK}^JANE"))
    daemon.until_counts(done=1)
    assert daemon.stop() == 0
    assert where_it_lies(daemon.site / "var", MARK) == ["store.db"]

    (daemon.site / "hcsyncd.yaml").write_text(SEALED)
    (daemon.site / "secrets").mkdir()
    give_key(daemon, KEY)
    start()
    daemon = DaemonProcess(daemon.site)
    until_sealed(daemon, 1)
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(10):
            sender.send(adt(f"S{number}", f"{MARK}^JANE"))
        assert daemon.call("store.rotate")["data_key"] == 2
        for number in range(10, 20):
            sender.send(adt(f"S{number}", f"{MARK}^JANE"))
        daemon.until_counts(done=21)
        until_sealed(daemon, 2)
        new_key = daemon.site / "secrets" / "store_key.new"
        new_key.write_text(NEW_KEY.hex())
        done = daemon.call("store.rotate", file=str(new_key))
        assert done == {"data_key": 3, "master": MasterKey(NEW_KEY).fingerprint}
        sender.send(adt("S20", f"{MARK}^JANE"))
    daemon.until_counts(done=22)
    assert receiver.control_ids == ["C1", *(f"S{number}" for number in range(21))], "in order"
    until_sealed(daemon, 3)
    assert daemon.call("store.verify", every_value=True)["problems"] == []
    assert where_it_lies(daemon.site / "var", MARK) == [], "while it runs, the log included"
    log = (daemon.site / "daemon.log").read_text()
    for secret in (KEY.hex(), NEW_KEY.hex()):
        assert secret not in log
        assert where_it_lies(daemon.site / "var", secret) == []


def test_a_sealed_store_is_opened_with_its_key_only(start: Start, receiver: MllpReceiver) -> None:
    site = {**relay(receiver.port), "hcsyncd.yaml": SEALED, "secrets/store_key": KEY.hex()}
    daemon = start(site)
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("S1", f"{MARK}^JANE"))
    daemon.until_counts(done=1)
    assert daemon.stop() == 0
    fingerprint = MasterKey(KEY).fingerprint

    give_key(daemon, NEW_KEY)
    said = refusal(daemon)
    assert f"the store is sealed with key {fingerprint}, and key {MasterKey(NEW_KEY).fingerprint} is given" in said
    assert "secrets/store_key" in said

"""The whole daemon, watched: an alert from its cause to the webhook and back, the audit log from command to proof."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import apsw
import pytest

from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.fakes.webhook_listener import WebhookListener
from tests.flows.conftest import Start, relay

ALERTS = """\
http: {port: 0}
workers: {count: 1}
drain_secs: 5
alerts:
  owner: interface team
  look_secs: 0.05
  for_secs: 0
  webhook: {url: "${WEBHOOK}"}
"""


@pytest.fixture
def webhook() -> Iterator[WebhookListener]:
    listening = WebhookListener()
    yield listening
    listening.close()


def until(true: Callable[[], object], daemon: DaemonProcess, secs: float = 15.0) -> None:
    deadline = time.monotonic() + secs
    while not true():
        assert time.monotonic() < deadline, daemon.log[-3000:]
        time.sleep(0.02)


def dead_letter(daemon: DaemonProcess, receiver: MllpReceiver) -> None:
    receiver.judge = lambda _payload: "AR"
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1", "DOE^JANE"))
    daemon.until_counts(dead=1)


def test_dead_letters_are_an_alert_once_over_a_restart_until_they_are_settled(
    start: Start, receiver: MllpReceiver, webhook: WebhookListener
) -> None:
    files = relay(receiver.port, owner="laboratory", retry="{attempts: 1}")
    daemon = start({**files, "hcsyncd.yaml": ALERTS}, WEBHOOK=webhook.url)
    dead_letter(daemon, receiver)
    until(lambda: webhook.said, daemon)
    assert webhook.said == [("raised", "dead-letters", "relay_out")]
    assert webhook.posts[0]["owner"] == "laboratory"
    (alert,) = daemon.call("status")["alerts"]
    shown = daemon.hcsyncd("alerts", "list")
    assert shown.returncode == 1
    assert "dead-letters" in shown.stdout
    assert "Alerts (1)" in daemon.hcsyncd("status").stdout
    assert daemon.hcsyncd("alerts", "acknowledge", str(alert["id"]), "--note", "looked into").returncode == 0
    daemon.kill()
    daemon = start(WEBHOOK=webhook.url)
    assert daemon.call("status")["alerts"][0]["acknowledged_by"]
    assert daemon.call("dead.discard", ids=[1], reason="a test")["discarded"] == 1
    until(lambda: len(webhook.said) > 1, daemon)
    assert webhook.said == [("raised", "dead-letters", "relay_out"), ("cleared", "dead-letters", "relay_out")]
    assert daemon.call("status")["alerts"] == []
    assert daemon.hcsyncd("alerts", "list").returncode == 0
    history = daemon.hcsyncd("alerts", "history")
    assert "looked into" in history.stdout


def test_a_test_goes_out_or_says_why_not(start: Start, receiver: MllpReceiver, webhook: WebhookListener) -> None:
    daemon = start({**relay(receiver.port), "hcsyncd.yaml": ALERTS}, WEBHOOK=webhook.url)
    assert daemon.hcsyncd("alerts", "test").returncode == 0
    assert [post["what"] for post in webhook.posts] == ["test"]
    daemon.stop()
    gone = start(WEBHOOK="http://127.0.0.1:1/hook")
    refused = gone.hcsyncd("alerts", "test")
    assert refused.returncode == 1
    assert "cannot connect" in refused.stdout


def test_a_destination_that_is_down_is_an_alert_until_it_is_back(
    start: Start, receiver: MllpReceiver, webhook: WebhookListener
) -> None:
    port = receiver.port
    receiver.close()
    files = relay(port, alerts="{down_secs: 0.2}", retry="{first_secs: 0.1, cap_secs: 0.2}")
    daemon = start({**files, "hcsyncd.yaml": ALERTS}, WEBHOOK=webhook.url)
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1", "DOE^JANE"))
    until(lambda: ("raised", "destination-down", "relay_out") in webhook.said, daemon)
    back = MllpReceiver(port=port)
    until(lambda: ("cleared", "destination-down", "relay_out") in webhook.said, daemon)
    back.close()
    assert webhook.said.count(("raised", "destination-down", "relay_out")) == 1


def test_what_operators_do_is_kept_and_proved_with_and_without_a_daemon(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1", "DOE^JANE"))
    daemon.until_counts(done=1)
    daemon.call("messages.show", id=1, body=True)
    daemon.hcsyncd("messages", "list")
    entries = json.loads(daemon.hcsyncd("audit", "list", "--json").stdout)
    assert [entry["verb"] for entry in reversed(entries)] == [
        "daemon.started",
        "generation.activated",
        "messages.show",
        "audit.list",
    ]
    verified = daemon.hcsyncd("audit", "verify")
    assert (verified.returncode, verified.stdout) == (0, "4 entries, each as it was written\n")
    head = json.loads(daemon.hcsyncd("audit", "verify", "--json").stdout)["head"]
    daemon.stop()
    offline = daemon.hcsyncd("audit", "verify", "--anchor", head)
    assert (offline.returncode, offline.stdout) == (0, "5 entries, each as it was written\n")
    exported = daemon.hcsyncd("audit", "export", str(daemon.site / "audit.jsonl"), "--json")
    assert json.loads(exported.stdout)["entries"] == 6, "the export is noted itself"
    assert "messages.show" in daemon.hcsyncd("audit", "list", "--message", "1").stdout
    connection = apsw.Connection(str(daemon.site / "var" / "store.db"))
    connection.execute("UPDATE audit SET user = 'somebody' WHERE number = 3")
    connection.close()
    edited = daemon.hcsyncd("audit", "verify")
    assert edited.returncode == 1
    assert "first at entry 3" in edited.stdout


def test_the_head_of_the_audit_log_is_in_the_daemons_own_log(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    daemon.stop()
    anchors = [json.loads(line) for line in daemon.log.splitlines() if "audit_anchored" in line]
    assert len(anchors) == 2
    last = anchors[-1]
    connection = apsw.Connection(str(daemon.site / "var" / "store.db"))
    connection.execute("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)")
    connection.close()
    (daemon.site / "var" / "audit.anchor").unlink()
    cut = daemon.hcsyncd("audit", "verify", "--anchor", f"{last['entry']}:{last['hash']}")
    assert cut.returncode == 1
    assert "cut-off" in cut.stdout

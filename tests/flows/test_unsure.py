"""Lost answers on the whole daemon: asked about by itself, by command, or settled by a person's word."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_sender import MllpSender, msa
from tests.flows.conftest import MLLP_IN, Start


class Ledger:
    """An HTTP server that keeps what it takes by its key, tells it to whoever asks, and may lose its answers."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.posts: list[str] = []
        self.asked: list[str] = []
        self.loses = threading.Event()
        self.takes = threading.Event()
        self.takes.set()
        self.is_silent = threading.Event()  # answers no question
        ledger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers["Idempotency-Key"]
                ledger.posts.append(key)
                if ledger.takes.is_set():
                    ledger.taken.append(key)
                if ledger.loses.is_set():
                    self.close_connection = True
                    return
                self._say(201)

            def do_GET(self) -> None:
                key = self.path.rpartition("/")[2]
                ledger.asked.append(key)
                self._say(503 if ledger.is_silent.is_set() else 200 if key in ledger.taken else 404)

            def _say(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/events"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    serving = Ledger()
    yield serving
    serving.close()


def site(ledger: Ledger, more: str = "") -> dict[str, str]:
    ask = f'ask: {{url: "{ledger.url}/{{idempotency_key}}"}}'
    return {
        "channels/adt_in.yaml": MLLP_IN,
        "channels/events_out.yaml": f"destination:\n  kind: http\n  url: {ledger.url}\n  {ask}\nformat: hl7\n"
        f"retry: {{first_secs: 0.05, factor: 1}}\n{more}",
        "routes.yaml": "routes:\n  - {name: events, from: adt_in, to: events_out}\n",
    }


def send(daemon: DaemonProcess, count: int) -> None:
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(1, count + 1):
            assert msa(sender.send(adt(f"M{number}"))) == ("AA", f"M{number}")


def until(daemon: DaemonProcess, **wanted: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        counts = daemon.call("status")["counts"]["deliveries"]
        if {state: count for state, count in counts.items() if count} == wanted:
            return
        assert time.monotonic() < deadline, f"{counts}\n{daemon.log[-3000:]}"
        time.sleep(0.02)


def test_a_lost_answer_is_asked_about_by_itself_and_has_one_effect(start: Start, ledger: Ledger) -> None:
    daemon = start(site(ledger, "after_crash: ask\n"))
    ledger.loses.set()
    send(daemon, 5)
    until(daemon, sent=5)
    assert len(ledger.posts) == len(set(ledger.taken)) == len(ledger.taken) == 5
    assert ledger.asked == ledger.taken


def test_what_was_under_way_at_a_kill_is_asked_about_at_the_start(start: Start, ledger: Ledger) -> None:
    daemon = start(site(ledger, "after_crash: ask\n"))
    ledger.loses.set()
    ledger.is_silent.set()
    send(daemon, 3)
    until(daemon, sending=1, ready=2)
    daemon.kill()
    ledger.loses.clear()
    ledger.is_silent.clear()
    daemon = start()
    until(daemon, sent=3)
    assert len(ledger.posts) == len(set(ledger.posts)) == 3, "nothing was sent twice"
    assert ledger.taken == ledger.posts


def test_unsure_ones_are_asked_about_by_command_and_settled_by_a_word(start: Start, ledger: Ledger) -> None:
    daemon = start(site(ledger, "after_crash: hold\n"))
    ledger.loses.set()
    send(daemon, 2)
    until(daemon, unsure=2)
    ledger.takes.clear()
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M3"))
        sender.send(adt("M4"))
    until(daemon, unsure=4)
    listed = daemon.hcsyncd("unsure", "list")
    assert listed.stdout.count("events -> events_out") == 4
    ledger.loses.clear()
    ledger.takes.set()
    settled = daemon.hcsyncd("unsure", "settle", "4", "--sent", "--reason", "they found it on paper")
    assert "they found it on paper" in settled.stdout, settled.stderr
    done = daemon.hcsyncd("unsure", "ask", "--all", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["verdict"] for one in json.loads(done.stdout)] == ["sent", "sent", "not-sent"]
    until(daemon, sent=4)
    assert len(ledger.posts) == 5
    assert ledger.posts[-1] == ledger.posts[2], "the same key"
    assert daemon.hcsyncd("unsure").stdout == "No unsure deliveries.\n"
    assert daemon.counts() == {"done": 4}
    metrics = daemon.metrics()
    assert 'hcsyncd_deliveries_settled_total{destination="events_out",how="person",outcome="sent"} 1.0' in metrics
    assert 'hcsyncd_deliveries_settled_total{destination="events_out",how="asked",outcome="not-sent"} 1.0' in metrics


def test_a_lane_that_holds_goes_on_once_it_is_known(start: Start, ledger: Ledger) -> None:
    daemon = start(site(ledger, "after_crash: hold\non_dead: hold\n"))
    ledger.loses.set()
    ledger.takes.clear()
    send(daemon, 3)
    until(daemon, unsure=1, ready=2)
    ledger.loses.clear()
    ledger.takes.set()
    daemon.hcsyncd("unsure", "ask", "--all")
    until(daemon, sent=3)
    keys = [row["key"] for id_ in (1, 2, 3) for row in daemon.call("messages.show", id=id_)["deliveries"]]
    assert ledger.taken == keys


def test_a_destination_that_cannot_be_asked_is_a_finding(start: Start, ledger: Ledger) -> None:
    daemon = start(site(ledger))
    (daemon.site / "channels/events_out.yaml").write_text(
        f"destination: {{kind: http, url: {ledger.url}}}\nformat: hl7\nafter_crash: ask\n"
    )
    done = daemon.hcsyncd("check")
    assert done.returncode == 1
    assert "channels/events_out.yaml:3:14 error cannot-ask: events_out cannot be asked what it has" in done.stdout

"""Every way in with every way out, through the whole daemon."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.fakes.replays import items_of, replayed
from tests.flows.conftest import MLLP_IN, Start, relay

QUICK = "retry: {first_secs: 0.05, factor: 1, jitter: 0}\n"

TO_JSON = """\
    from hcsyncd import Context, Hl7Document, Out, transform

    @transform
    def event(message: Hl7Document, context: Context) -> Out:
        return Out({"patient": message["PID-3.1"]}, name=message["PID-3.1"] or "nobody")
"""


class Poster(threading.Thread):
    """An HTTP server that keeps what is posted; ``status`` is its answer."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.status = 201
        self.posts: list[tuple[str, bytes]] = []  # idempotency key, body
        poster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                poster.posts.append((self.headers["Idempotency-Key"], body))
                self.send_response(poster.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/events"
        self.start()

    def run(self) -> None:
        self.server.serve_forever(0.02)


@pytest.fixture
def poster() -> Iterator[Poster]:
    poster = Poster()
    yield poster
    poster.server.shutdown()
    poster.server.server_close()


def to_poster(poster: Poster) -> dict[str, str]:
    """A site that posts what comes by MLLP as JSON."""
    return {
        "channels/adt_in.yaml": MLLP_IN,
        "channels/events_out.yaml": f"destination: {{kind: http, url: '{poster.url}'}}\nformat: json\n" + QUICK,
        "transforms/adt.py": TO_JSON,
        "routes.yaml": "routes:\n  - {name: events, from: adt_in, transform: adt.event, to: events_out}\n",
    }


def post(daemon: DaemonProcess, body: bytes, key: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(daemon.where("web_in"), body, method="POST")
    if key:
        request.add_header("Idempotency-Key", key)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def until_exists(folder: Path, pattern: str, count: int = 1) -> list[Path]:
    deadline = time.monotonic() + 20
    while len(found := sorted(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline, sorted(folder.iterdir())
        time.sleep(0.02)
    return found


def test_mllp_in_http_out_through_an_outage_under_one_key(start: Start, poster: Poster) -> None:
    poster.status = 503
    daemon = start(to_poster(poster))
    with MllpSender(daemon.address("adt_in")) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")
    daemon.until_counts(routed=1)
    while not poster.posts:
        time.sleep(0.01)
    poster.status = 201
    daemon.until_counts(done=1)
    assert {json.loads(body)["patient"] for _, body in poster.posts} == {"4711"}
    assert len({key for key, _ in poster.posts}) == 1
    attempts = daemon.call("messages.show", id=1)["attempts"]
    assert [attempt["cause"] for attempt in attempts[:1]] == ["http-503"]
    assert attempts[-1]["cause"] == ""


def test_a_refusal_by_http_is_a_dead_letter_and_the_next_goes_on(start: Start, poster: Poster) -> None:
    poster.status = 422
    daemon = start(to_poster(poster))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
        daemon.until_counts(dead=1)
        poster.status = 200
        sender.send(adt("M2"))
        daemon.until_counts(dead=1, done=1)
    report = replayed(daemon, dead=True, wanted={"ids": [1]})
    assert [item["copy_id"] for item in items_of(daemon, report["replay"]["id"])] == [None]
    daemon.until_counts(done=2)
    assert poster.posts[0][0] == poster.posts[2][0] != poster.posts[1][0]


def test_http_in_files_out(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    daemon = start(
        {
            "channels/web_in.yaml": "source: {kind: http, port: 0, path: /messages}\nformat: hl7\n",
            "channels/files_out.yaml": "format: json\ndestination: "
            f"{{kind: folder, folder: '{out}', name: '{{name}}-{{key}}.json'}}\n",
            "transforms/adt.py": TO_JSON,
            "routes.yaml": "routes:\n  - {name: files, from: web_in, transform: adt.event, to: files_out}\n",
        }
    )
    status, reply = post(daemon, adt("M1"), key="k1")
    assert (status, msa(reply)) == (202, ("AA", "M1"))
    assert post(daemon, adt("M1"), key="k1") == (200, reply)
    assert post(daemon, b"no message at all")[0] == 422
    daemon.until_counts(done=1, dead=1)
    (file,) = until_exists(out, "*.json")
    assert json.loads(file.read_bytes()) == {"patient": "4711"}
    assert file.name.startswith("4711-")


def test_files_in_are_taken_once_over_a_restart(start: Start, receiver: MllpReceiver, tmp_path: Path) -> None:
    incoming = tmp_path / "in"
    incoming.mkdir()
    files = relay(receiver.port) | {
        "channels/adt_in.yaml": f"source: {{kind: folder, folder: '{incoming}', stable_secs: 0, poll_secs: 0.05}}\n"
        "format: hl7\n"
    }
    daemon = start(files)
    batch = b"FHS|^~\\&|PAS\rBHS|^~\\&|PAS\r" + adt("M1") + adt("M2") + b"BTS|2\rFTS|1\r"
    (incoming / ".batch.tmp").write_bytes(batch)
    (incoming / ".batch.tmp").rename(incoming / "batch.hl7")
    daemon.until_counts(done=2)
    daemon.kill()
    daemon = start()
    (incoming / ".more.tmp").write_bytes(adt("M3"))
    (incoming / ".more.tmp").rename(incoming / "more.hl7")
    daemon.until_counts(done=3)
    assert receiver.payloads == [adt("M1"), adt("M2"), adt("M3")]
    assert [path for path in incoming.iterdir() if path.is_file()] == []


def test_one_message_to_many_destinations_is_stored_once_and_one_that_is_down_stops_no_other(
    start: Start, receiver: MllpReceiver
) -> None:
    absent = MllpReceiver()
    absent.close()
    files = relay(receiver.port) | {
        "channels/down_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {absent.port}}}\n" + QUICK,
        "routes.yaml": "routes:\n  - {name: relay, from: adt_in, to: [down_out, relay_out]}\n",
    }
    daemon = start(files)
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(5):
            sender.send(adt(f"M{number}"))
    receiver.until(5)
    by_name = {channel["name"]: channel for channel in daemon.call("channels")}
    assert (by_name["down_out"]["health"], by_name["relay_out"]["health"]) == ("down", "up")
    assert by_name["down_out"]["queued"] == 5
    assert daemon.counts() == {"routed": 5}


def test_intake_is_refused_with_a_negative_answer_when_the_disk_is_nearly_full(
    start: Start, receiver: MllpReceiver
) -> None:
    files = relay(receiver.port) | {"hcsyncd.yaml": f"http: {{port: 0}}\nmin_free_bytes: {1 << 60}\n"}
    daemon = start(files)
    with MllpSender(daemon.address("adt_in")) as sender:
        assert msa(sender.send(adt("M1"))) == ("AR", "M1")
    assert daemon.counts() == {}
    assert "disk_low" in daemon.log
    assert "intake is closed: disk-low" in str(daemon.call("status")["daemon"]["not_ready"])


def test_a_listener_whose_port_is_taken_shows_as_down_and_comes_up_when_it_is_free(
    start: Start, receiver: MllpReceiver
) -> None:
    squatter = MllpReceiver()
    files = relay(receiver.port) | {"channels/adt_in.yaml": f"source: {{kind: mllp, port: {squatter.port}}}\n"}
    try:
        daemon = start(files)
        assert "adt_in is down" in str(daemon.call("status")["daemon"]["not_ready"])
    finally:
        squatter.close()
    deadline = time.monotonic() + 20
    while daemon.call("status")["daemon"]["not_ready"]:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)
    with MllpSender(("127.0.0.1", squatter.port)) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")


def test_metrics_and_health_over_http(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
    daemon.until_counts(done=1)
    base = daemon.call("status")["daemon"]["http"]
    base = base if base.startswith("http") else f"http://{base}"
    with urllib.request.urlopen(f"{base}/readyz", timeout=10) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"{base}/healthz", timeout=10) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"{base}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert 'hcsyncd_messages_received_total{channel="adt_in"' in text
    assert 'hcsyncd_deliveries_open{destination="relay_out"} 0.0' in text

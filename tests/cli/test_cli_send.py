"""`hcsyncd send` against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hl7.mllp
import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.cli.sending.deck import with_control_id
from hcsyncd.cli.sending.tally import percentile
from tests.fakes.answering import AnsweringServer, Respond, ack
from tests.fakes.authority import Authority
from tests.fakes.command import start_command
from tests.fakes.desk import adt


def send(*args: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["send", *map(str, args)], input=stdin)


def summary(*args: str | Path, code: int = 0) -> dict[str, Any]:
    result = send(*args, "--json")
    assert result.exit_code == code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    shown["outcomes"] = {name: number for name, number in shown["outcomes"].items() if number}
    return shown


@pytest.fixture
def one(tmp_path: Path) -> Path:
    file = tmp_path / "one.hl7"
    file.write_bytes(adt("M1"))
    return file


def test_one_message_is_sent_and_judged(one: Path) -> None:
    with AnsweringServer() as server:
        result = send(one, "--to", server.url)
    assert result.exit_code == 0
    assert server.received == [adt("M1")]
    assert "sent         1\n" in result.stdout
    assert "accepted     1\n" in result.stdout


def test_line_ends_become_carriage_returns_unless_as_is(tmp_path: Path) -> None:
    file = tmp_path / "edited.hl7"
    file.write_bytes(adt("M1").replace(b"\r", b"\r\n").removesuffix(b"\r\n"))
    with AnsweringServer() as server:
        assert send(file, "--to", server.url).exit_code == 0
        assert send(file, "--to", server.url, "--as-is").exit_code == 0
    assert server.received == [adt("M1"), file.read_bytes()]


def test_folders_batches_and_standard_input(tmp_path: Path) -> None:
    folder = tmp_path / "feed"
    folder.mkdir()
    (folder / "b.hl7").write_bytes(b"FHS|^~\\&\rBHS|^~\\&\r" + adt("B1") + adt("B2") + b"BTS|2\rFTS|1\r")
    (folder / "a.hl7").write_bytes(b"\x0b" + adt("A1") + b"\x1c\r")
    (folder / ".hidden").write_bytes(adt("H1"))
    with AnsweringServer() as server:
        assert send(folder, "--to", server.url).exit_code == 0
        assert send("-", "--to", server.url, stdin=adt("S1")).exit_code == 0
    assert server.received == [adt("A1"), adt("B1"), adt("B2"), adt("S1")]


def test_count_connections_and_fresh_ids(one: Path) -> None:
    with AnsweringServer() as server:
        shown = summary(one, "--to", server.url, "--count", "200", "--connections", "4", "--fresh-ids")
    assert (shown["sent"], shown["outcomes"]) == (200, {"accepted": 200})
    ids = [payload.split(b"|")[9] for payload in server.received]
    assert len(set(ids)) == 200
    assert all(0 < len(control_id) <= 20 for control_id in ids)
    assert server.connections == 4
    assert 0 < shown["latency"]["p50"] <= shown["latency"]["p99"] <= shown["latency"]["max"]


def test_rate_spreads_the_messages(one: Path) -> None:
    with AnsweringServer() as server:
        shown = summary(one, "--to", server.url, "--count", "6", "--rate", "50")
    assert shown["seconds"] >= 5 / 50  # five pauses between six messages: a lower bound that no machine can miss


def shut(_: int, __: bytes) -> None:
    return None


CASES: dict[str, tuple[Respond, str, str]] = {
    "error": (lambda _, payload: ack(payload, b"AE"), "error", "AE why"),
    "reject": (lambda _, payload: ack(payload, b"AR"), "rejected", "AR why"),
    "commit error": (lambda _, payload: ack(payload, b"CE"), "error", "CE why"),
    "silent": (lambda _, __: b"", "timeout", "no answer within 0.2 s"),
    "closes": (shut, "lost", "closed before the answer"),
    "half": (lambda _, payload: ack(payload)[:-5], "timeout", "no answer within 0.2 s"),
    "other": (lambda _, payload: ack(payload, control_id=b"ZZ"), "mismatched", "AA for 'ZZ' instead of 'M1'"),
    "no msa": (lambda _, __: b"\x0bMSH|^~\\&|RX\r\x1c\r", "unreadable", "no MSA segment"),
    "code": (lambda _, payload: ack(payload, b"XX"), "unreadable", "acknowledgement code is 'XX'"),
    "noise": (lambda _, __: b"HTTP/1.1 400 Bad Request\r\n\r\n\x0b", "unreadable", "no frame: noise"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_answers_are_told_apart(one: Path, name: str) -> None:
    respond, outcome, told = CASES[name]
    with AnsweringServer(respond) as server:
        result = send(one, "--to", server.url, "--timeout", "0.2")
    assert result.exit_code == 1
    assert f"{one}: {outcome}: " in result.stderr
    assert told in result.stderr
    assert f"{outcome} " in result.stdout


def test_it_goes_on_after_each_failure_on_a_new_connection(tmp_path: Path) -> None:
    def every_other(number: int, payload: bytes) -> bytes | None:
        return ack(payload) if number % 2 else None

    file = tmp_path / "six.hl7"
    file.write_bytes(b"".join(adt(f"M{number}") for number in range(6)))
    with AnsweringServer(every_other) as server:
        shown = summary(file, "--to", server.url, code=1)
    assert shown["outcomes"] == {"accepted": 3, "lost": 3}
    assert server.connections == 4  # one, and one more behind each loss but the last


def test_a_late_answer_is_not_taken_for_the_next(tmp_path: Path) -> None:
    held: list[bytes] = []

    def late(number: int, payload: bytes) -> bytes:
        held.append(ack(payload))
        return b"" if number == 0 else held[-1]

    file = tmp_path / "two.hl7"
    file.write_bytes(adt("M1") + adt("M2"))
    with AnsweringServer(late) as server:
        shown = summary(file, "--to", server.url, "--timeout", "0.2", code=1)
    assert shown["outcomes"] == {"accepted": 1, "timeout": 1}


@pytest.mark.parametrize(("codes", "outcome"), [((b"CA", b"AA"), "accepted"), ((b"CA", b"AE"), "error")])
def test_enhanced_mode_waits_for_the_application_answer(
    tmp_path: Path, codes: tuple[bytes, bytes], outcome: str
) -> None:
    file = tmp_path / "enhanced.hl7"
    file.write_bytes(b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|E1|P|2.5|||AL|AL\r")
    with AnsweringServer(lambda _, payload: ack(payload, codes[0]) + ack(payload, codes[1])) as server:
        shown = summary(file, "--to", server.url, code=0 if outcome == "accepted" else 1)
    assert shown["outcomes"] == {outcome: 1}


def test_nobody_there_is_told_at_once(one: Path) -> None:
    result = send(one, "--to", "mllp://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == "hcsyncd: cannot connect to 127.0.0.1:1: Connection refused\n"
    assert result.stdout == "sent  0\n"
    assert "Traceback" not in result.output


def test_what_cannot_be_framed_is_counted_and_the_rest_is_sent(tmp_path: Path, one: Path) -> None:
    odd = tmp_path / "odd.hl7"
    odd.write_bytes(b"PID|\x1c|odd")
    with AnsweringServer() as server:
        shown = summary(odd, one, "--to", server.url, "--as-is", code=1)
    assert shown["outcomes"] == {"accepted": 1, "unsendable": 1}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--to", "ftp://x"], "is no target"),
        (["--to", "mllp://x:99999"], "is no target"),
        (["--to", "mllp://"], "is no target"),
        (["--to", "mllp://x", "--count", "0"], "not in the range"),
        (["--to", "mllp://x", "--tls", "--key", "k.pem"], "--key belongs to a --cert"),
        (["--to", "mllp://x", "--tls", "--ca", "missing.pem"], "cannot read"),
        (["--to", "http://x", "--header", "nonsense"], "is no header"),
    ],
)
def test_a_command_line_that_cannot_be_meant(one: Path, args: list[str], told: str) -> None:
    result = send(one, *args)
    assert result.exit_code == 2
    assert told in result.stderr


def test_nothing_to_send(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.hl7").write_bytes(b"")
    assert send(tmp_path / "empty", "--to", "mllp://127.0.0.1:1").exit_code == 2
    for more in ((), ("--count", "3")):
        result = send(tmp_path / "void.hl7", "--to", "mllp://127.0.0.1:1", *more)
        assert (result.exit_code, "the files are empty" in result.stderr) == (1, True)


def test_verbose_shows_each_answer(one: Path) -> None:
    with AnsweringServer() as server:
        result = send(one, "--to", server.url, "-v")
    assert f"{one}: accepted: AA\n  MSH|^~\\&|RX|LAB" in result.stderr
    assert "  MSA|AA|M1|why\n" in result.stderr


def test_ctrl_c_prints_the_summary(one: Path) -> None:
    seen = threading.Event()

    def silent_after_two(number: int, payload: bytes) -> bytes:
        if number == 2:
            seen.set()
        return ack(payload) if number < 2 else b""

    with AnsweringServer(silent_after_two) as server:
        process = start_command("send", str(one), "--to", server.url, "--count", "9", "--json")
        assert seen.wait(20)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(shown)["outcomes"]["accepted"] == 2
    assert told == "interrupted\n"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:hl7")  # its create_ack calls it
def test_an_independent_server_understands_it(one: Path) -> None:
    """python-hl7's own MLLP server."""
    loop = asyncio.new_event_loop()
    port: list[int] = []
    kinds: list[str] = []

    async def answer(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                kinds.append(str(message.segment("MSH")[9]))
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    async def serve() -> asyncio.Server:
        server: asyncio.Server = await hl7.mllp.start_hl7_server(answer, host="127.0.0.1", port=0)
        port.append(server.sockets[0].getsockname()[1])
        return server

    async def end(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    try:
        shown = summary(one, "--to", f"127.0.0.1:{port[0]}", "--count", "3")
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert shown["outcomes"] == {"accepted": 3}
    assert kinds == ["ADT^A01^ADT_A01"] * 3


class Requests(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    seen: list[tuple[str, str, dict[str, str], bytes]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Quiet."""


@contextmanager
def web_server() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []
    handler = type(
        "Handler",
        (Requests,),
        {"seen": seen, "protocol_version": "HTTP/1.1", "do_POST": Requests.answer, "do_PUT": Requests.answer},
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()
        thread.join()


def test_http_statuses_are_judged(one: Path) -> None:
    with web_server() as (url, seen):
        for status, outcome in (("201", "accepted"), ("404", "rejected"), ("503", "error"), ("302", "error")):
            shown = summary(one, "--to", f"{url}/{status}", code=0 if outcome == "accepted" else 1)
            assert shown["outcomes"] == {outcome: 1}
    assert seen[0][3] == adt("M1")
    assert seen[0][2]["content-type"] == "application/hl7-v2"


def test_http_headers_method_and_fresh_keys(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text('{"line": 1}\n')
    with web_server() as (url, seen):
        result = send(
            order, "--to", f"{url}/200", "--method", "PUT", "--header", "Authorization: Bearer abc", "--count", "2",
            "--fresh-ids",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [(method, headers["authorization"], headers["content-type"], body) for method, _, headers, body in seen] == [
        ("PUT", "Bearer abc", "application/json", b'{"line": 1}\n')
    ] * 2
    assert len({headers["idempotency-key"] for _, _, headers, _ in seen}) == 2


def test_http_nobody_there(one: Path) -> None:
    result = send(one, "--to", "http://127.0.0.1:1/")
    assert result.exit_code == 1
    assert "hcsyncd: cannot connect to http://127.0.0.1:1/: Connect" in result.stderr
    assert "ssl:" not in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|OLD|P|2.5\rPID|1\r", b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|NEW|P|2.5\rPID|1\r"),
        (b"MSH|^~\\&|A\nPID|1", b"MSH|^~\\&|A|||||||NEW\nPID|1"),
        (b"MSH#!~?*#A#B#C#D#2026##ADT#OLD#P", b"MSH#!~?*#A#B#C#D#2026##ADT#NEW#P"),
    ],
)
def test_with_control_id(header: bytes, expected: bytes) -> None:
    assert with_control_id(header, "NEW") == expected


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.01) == 7.0
    assert percentile([], 0.5) == 0.0


def test_tls_trusts_the_named_authority_shows_a_certificate_and_refuses_strangers(tmp_path: Path, one: Path) -> None:
    authority = Authority(tmp_path)
    listener, client = authority.issue("listener"), authority.issue("sender")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(listener.certificate, listener.key)
    context.verify_mode = ssl.CERT_REQUIRED
    shown = ["--cert", str(client.certificate), "--key", str(client.key)]
    with AnsweringServer(tls=context) as server:
        url = server.url.replace("mllp", "mllps")
        assert send(one, "--to", url, "--ca", authority.file, *shown).exit_code == 0
        assert send(one, "--to", server.url, "--tls", "--insecure", *shown).exit_code == 0
        strange = send(one, "--to", url, *shown)
        assert strange.exit_code == 1
        assert "certificate verify failed" in strange.stderr
        assert send(one, "--to", url, "--ca", authority.file).exit_code == 1
    assert len(server.received) == 2

"""Every file of a corpus folder through the daemon and out, byte for byte: ``make corpus CORPUS=DIR``; and with
every run of the tests a small corpus of what real senders write.

Each file goes by MLLP as one frame. A file that is empty, or that holds MLLP's own start or end byte, cannot be framed,
and goes by HTTP. Whatever a file is, it is kept: delivered as it came, or refused and a dead letter with its cause.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.errors import DaemonAbsent
from hcsyncd.formats import mllp
from hcsyncd.runtime.control import call, socket_path
from tests.fakes.tree import ROOT

CORPUS = os.environ.get("HCSYNCD_CORPUS", "")
WAIT_SECS = 30.0

SOURCE = """\
source: {kind: KIND, host: 127.0.0.1, port: 0}
format: {kind: hl7, acknowledgement_mode: original}  # an answer also to messages that want none
duplicates: {same_content: process, changed_content: accept}
"""
SITE = {
    "hcsyncd.yaml": "http: {enabled: false}\n",
    "channels/by_mllp.yaml": SOURCE.replace("KIND", "mllp"),
    "channels/by_http.yaml": SOURCE.replace("KIND", "http"),
    "channels/out.yaml": 'destination: {kind: folder, folder: out, name: "{message_id}"}\nformat: hl7\n',
    "routes.yaml": "routes:\n  - {name: through, from: [by_mllp, by_http], to: out}\n",
}


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon on a site that sends everything on as it came."""

    site: Path
    ports: dict[str, int]

    def ask(self, verb: str, **args: Any) -> Any:
        return call(socket_path(self.site / "var"), verb, args)

    def is_busy(self) -> bool:
        counts = self.ask("status")["counts"]["messages"]
        return bool(counts.get("received") or counts.get("routed"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    for name, text in SITE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "hcsyncd", "run", "--site", str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "engine")},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        try:
            yield Daemon(tmp_path, ports(tmp_path, process, log))
        finally:
            process.terminate()
            process.wait(30)


def ports(site: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, int]:
    """The ports of the sources, once the daemon is ready."""
    deadline = time.monotonic() + WAIT_SECS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if not call(socket_path(site / "var"), "status")["daemon"]["not_ready"]:
                channels = call(socket_path(site / "var"), "channels")
                return {
                    channel["name"]: int(channel["address"].split(":")[-1].split("/")[0])
                    for channel in channels
                    if channel["role"] == "source"
                }
        except DaemonAbsent:
            pass  # it is still starting
        time.sleep(0.05)
    pytest.fail(f"the daemon is not ready:\n{log.read_text()[-2000:]}")


def corpus() -> list[Path]:
    return sorted(path for path in Path(CORPUS).rglob("*") if path.is_file())


def by_mllp(bodies: list[bytes], port: int) -> Iterator[bytes]:
    """The answer to each frame, one after the other."""
    splitter = mllp.Splitter(max_bytes=1024 * 1024)
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECS) as connection:
        for body in bodies:
            connection.sendall(mllp.render(body))
            answers: list[bytes] = []
            while not answers:
                data = connection.recv(65536)
                assert data, "the listener hung up"
                answers = [found.payload for found in splitter.feed(data) if isinstance(found, mllp.Frame)]
            assert len(answers) == 1
            yield answers[0]


def by_http(bodies: list[bytes], port: int) -> Iterator[int]:
    for body in bodies:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECS)
        connection.request("POST", "/", body, {"Content-Type": "x-application/hl7-v2+er7"})
        yield connection.getresponse().status
        connection.close()


def can_be_framed(body: bytes) -> bool:
    return bool(body) and mllp.START not in body and mllp.END not in body


def check(daemon: Daemon, channel: str, files: list[Path], accepted: list[bool]) -> list[str]:
    """What is not as it should be, for each file; ``accepted`` is what its sender was told."""
    rows = daemon.ask("messages.list", channel=channel, limit=10_000, newest_first=False)
    assert len(rows) == len(files)
    wrong = []
    for path, told, row in zip(files, accepted, rows, strict=True):
        body = path.read_bytes()
        if told:
            delivered = daemon.site / "out" / f"{row['id']:012d}"
            if row["state"] != "done" or delivered.read_bytes() != body:
                wrong.append(f"{path.name}: accepted, and now {row['state']} {row['cause']}")
        else:
            kept = b64decode(daemon.ask("messages.show", id=row["id"], body=True)["body"])
            if row["state"] != "dead" or not row["cause"] or kept != body:
                wrong.append(f"{path.name}: refused, and now {row['state']} {row['cause']}")
        if told and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"MSH", b"FHS", b"BHS")):
            wrong.append(f"{path.name}: is no HL7 and was accepted")
    return wrong


def lead_through(daemon: Daemon, files: list[Path]) -> list[str]:
    """Send every file, wait until the daemon has nothing in hand, and give what is not as it should be."""
    plain = [path for path in files if can_be_framed(path.read_bytes())]
    others = [path for path in files if not can_be_framed(path.read_bytes())]
    answers = list(by_mllp([path.read_bytes() for path in plain], daemon.ports["by_mllp"]))
    statuses = list(by_http([path.read_bytes() for path in others], daemon.ports["by_http"]))
    deadline = time.monotonic() + WAIT_SECS
    while daemon.is_busy() and time.monotonic() < deadline:
        time.sleep(0.05)
    codes = [answer.split(b"\rMSA")[-1][1:3] for answer in answers]
    assert set(codes) <= {b"AA", b"AE", b"AR", b"CA", b"CE", b"CR"}
    wrong = check(daemon, "by_mllp", plain, [code in {b"AA", b"CA"} for code in codes])
    return wrong + check(daemon, "by_http", others, [status < 300 for status in statuses])


@pytest.mark.timeout(600)
@pytest.mark.skipif(not CORPUS, reason="no corpus named: make corpus CORPUS=DIR")
def test_every_file_of_the_corpus_gets_through_or_is_kept(daemon: Daemon) -> None:
    files = corpus()
    assert files, f"there is no file in {CORPUS}"
    assert lead_through(daemon, files) == []


MESSAGE = "MSH|^~\\&|EHR|H|ENG|H|20260101||ADT^A01|7|P|2.5.1\rPID|1||1^^^H||Müller^Zoë\rZPV|a&b~c\r".encode()
TAKEN = {
    "Latin-1": MESSAGE.decode().encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + MESSAGE,
    "ISO-2022-JP": "MSH|^~\\&|EHR|H|||2026||ADT^A01|8|P|2.5||||||~ISO IR87\rPID|1||||山田\r".encode("iso2022_jp"),
    "other delimiters": MESSAGE.translate(bytes.maketrans(b"|^~&", b"#@*%")),
    "five encoding characters": MESSAGE.replace(b"&|", b"&#|", 1).replace(b"2.5.1", b"2.7"),
    "no control id": MESSAGE.replace(b"|7|", b"||"),
    "no type": MESSAGE.replace(b"ADT^A01", b""),
    "names in small letters": MESSAGE.replace(b"PID", b"pid"),
    "LF": MESSAGE.replace(b"\r", b"\n"),
    "CR LF": MESSAGE.replace(b"\r", b"\r\n"),
    "mixed ends": MESSAGE.replace(b"\rP", b"\nP").replace(b"\rZ", b"\r\nZ"),
    "blank lines": b"\r\n\r" + MESSAGE.replace(b"\r", b"\r\r"),
    "junk behind": MESSAGE + b"\0\x1a--\xff",
    "no final CR": MESSAGE[:-1],
    "cut off": MESSAGE[:60],
    "the header alone": b"MSH|^~\\&|\r",
    "an acknowledgement": b"MSH|^~\\&|A|B|C|D|2026||ACK|9|P|2.3\rMSA|AA|77\r",
    "version 2.1": MESSAGE.replace(b"2.5.1", b"2.1"),
    "a long field": MESSAGE + b"OBX|1|ED|||" + b"QUJD" * 1_250_000 + b"\r",
    "a batch": b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + MESSAGE * 2 + b"BTS|2\rFTS|1\r",
    "two messages": MESSAGE * 2,
    "an end byte inside": MESSAGE.replace(b"a&b", b"a\x1cb"),
}
REFUSED = {
    "empty": b"",
    "blank": b"\r\n \r\n",
    "zeros": bytes(1000),
    "UTF-16": MESSAGE.decode().encode("utf-16"),
    "binary": bytes(range(256)),
    "JSON": b'{"resourceType": "Patient"}',
    "XML": b'<?xml version="1.0"?><ADT_A01 xmlns="urn:hl7-org:v2xml"/>',
    "no header": MESSAGE.partition(b"\r")[2],
    "three letters": b"MSH",
    "no delimiters": MESSAGE.replace(b"^~\\&", b"", 1),
    "framed": mllp.render(MESSAGE),
}


def test_what_real_senders_write_gets_through_or_is_kept(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, body in {**TAKEN, **REFUSED}.items():
        (folder / name).write_bytes(body)
    assert lead_through(daemon, sorted(folder.iterdir())) == []
    assert daemon.ask("status")["counts"]["messages"]["done"] == len(TAKEN)

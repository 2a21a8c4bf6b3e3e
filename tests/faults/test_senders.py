"""Senders that do what they should not: go before their answer, stand about, drip, or send far too much."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from hcsyncd.errors import HcsyncdError
from tests.fakes.fault_table import Row
from tests.fakes.mllp_peer import EB, SB, frame
from tests.fakes.mllp_sender import MllpSender, msa
from tests.fakes.moody_receiver import MllpMoody
from tests.fakes.road import PLAIN_ROUTE, HandSender, Road, always, order
from tests.faults.conftest import Travel

SENDERS = 3
MEBIBYTE = 1 << 20


def reset(connection: socket.socket) -> None:
    """Break it off as a crashed machine would."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_gone_before_the_acknowledgement(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    hand = HandSender("E", lambda: way.address, always)
    way.senders.append(hand)
    way.begin(SENDERS)
    gone = 40
    for number in range(1, gone + 1):
        line = socket.create_connection(way.address)
        line.sendall(frame(order("E", f"E-{number}")))
        if number % 2:
            reset(line)
        else:
            line.close()
        assert hand.offer(), "it comes again, and is answered"
    row = way.account(
        way.finish(),
        place=9,
        fault="sender gone before its acknowledgement",
        made="the message is written, and the connection closed or reset at once; then it is sent again",
        word="`reply_lost`, `message_duplicated`; a message's reply shows as lost until it is given",
        recovery="the resend is known and gets the first answer",
        tries=gone,
    )
    said = way.words("message_duplicated", "reply_lost")
    assert said["message_duplicated"] > 0
    assert said["reply_lost"] > 0
    assert row.repeats == 0
    tell(row)


def test_many_idle_connections(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    way.begin()
    with ExitStack() as lines:
        idle = [lines.enter_context(socket.create_connection(way.address)) for _ in range(500)]
        way.until(lambda: way.channel("adt_in")["connections"] >= len(idle), "all in")
        way.add(SENDERS)
        way.until_acknowledged(100)
        with MllpSender(way.address) as late:
            assert msa(late.send(order("S0", "S0-1")))[0] == "AA", "one more comes in, and is answered"
        for line in idle[::50]:
            line.sendall(b"\x0b")  # they are still listened to
        assert way.channel("adt_in")["connections"] >= len(idle)
        row = way.account(
            way.finish(),
            place=10,
            fault="500 idle connections",
            made="500 connections that say nothing, beside those that work",
            word="`channels` shows how many connections a source has",
            recovery="nothing to recover",
            tries=len(idle),
        )
    tell(row)


class Drip(threading.Thread):
    """Sends a message one byte at a time, and waits for its answer."""

    def __init__(self, address: tuple[str, int], control_id: str) -> None:
        super().__init__(daemon=True)
        self.control_id = control_id
        self.code = ""
        self._address = address

    def run(self) -> None:
        with MllpSender(self._address, 60) as line:
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in frame(order("D", self.control_id)):
                line.socket.sendall(bytes([byte]))
                time.sleep(0.004)
            self.code, _ = msa(line.answer())


def test_one_byte_at_a_time(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    way.begin(SENDERS)
    drips = [Drip(way.address, f"D-{number}") for number in range(20)]
    for drip in drips:
        drip.start()
    way.until_acknowledged(60)
    for drip in drips:
        drip.join(30)
    assert [drip.code for drip in drips] == ["AA"] * len(drips)
    row = way.account(
        way.finish(),
        beside=[drip.control_id for drip in drips],
        place=11.1,
        fault="slow drip (mllp)",
        made="20 connections write a message each, one byte at a time, beside those that work",
        word="none: a slow sender is a sender; `frame_timeout_secs` bounds how slow",
        recovery="nothing to recover",
        tries=len(drips),
    )
    tell(row)


def test_a_frame_that_does_not_end(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road()
    file = way.folder / "channels/adt_in.yaml"
    file.write_text(f"source: {{kind: mllp, port: {way.port}, frame_timeout_secs: 0.5}}\n")
    way.begin(SENDERS)
    with ExitStack() as lines:
        stuck = [lines.enter_context(socket.create_connection(way.address, 20)) for _ in range(10)]
        for line in stuck:
            line.sendall(SB + b"MSH|^~\\&|PAS|X|")
        for line in stuck:
            assert line.recv(1000) == b"" or line.recv(1000) == b"", "cut off"
        way.until_acknowledged(30)
    counts = way.finish()
    faulted = [event for event in way.events if event["event"] == "frame_faulted"]
    assert [event["fault"] for event in faulted] == ["unfinished"] * len(stuck)
    row = way.account(
        counts,
        cut=len(stuck),
        place=11.2,
        fault="frames that do not end (mllp)",
        made="10 connections begin a message and say no more; `frame_timeout_secs: 0.5`",
        word="`frame_faulted` with `unfinished`; what came is kept as a dead letter",
        recovery="the connections are cut, others are served all the time",
        tries=len(stuck),
    )
    tell(row)


def test_slow_heads_on_http(road: Travel, tell: Callable[[Row], None]) -> None:
    """Slowloris: requests whose head never ends hold their connection for a bounded time, and nobody else's."""
    way = road()
    (way.folder / "channels/web_in.yaml").write_text(
        "source: {kind: http, port: 0, head_timeout_secs: 0.5}\nformat: hl7\n"
    )
    (way.folder / "routes.yaml").write_text(PLAIN_ROUTE.replace("from: adt_in", "from: [adt_in, web_in]"))
    way.begin()
    host, port = way.daemon.where("web_in").removeprefix("http://").rstrip("/").split(":")
    with ExitStack() as lines:
        slow = [lines.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(50)]
        for line in slow:
            line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-More: ")
        posted = []
        for number in range(20):
            body = order("W", f"W-{number}")
            request = urllib.request.Request(f"http://{host}:{port}/", body, method="POST")
            with urllib.request.urlopen(request, timeout=20) as response:
                assert response.status == 202
            posted.append(f"W-{number}")
            for line in slow:
                drip(line)
        for line in slow:
            assert ends(line), "it is cut off"
    row = way.account(
        way.finish(),
        beside=posted,
        place=11.3,
        fault="slow drip (http)",
        made="50 connections send the head of a request a byte at a time and never end it; `head_timeout_secs: 0.5`",
        word="`connection_refused` with `slow` for each",
        recovery="the connections are cut, others are served all the time",
        tries=len(slow),
    )
    assert way.words("connection_refused") == {"connection_refused": len(slow)}
    tell(row)


def drip(line: socket.socket) -> None:
    try:
        line.sendall(b"x")
    except OSError:
        return  # it was cut off


def ends(line: socket.socket) -> bool:
    """Whether the other side closes."""
    try:
        while line.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


@contextmanager
def peak(way: Road) -> Iterator[Callable[[], int]]:
    """The most memory that the daemon had, as it says itself."""
    most = 0
    end = threading.Event()

    def look() -> None:
        nonlocal most
        while not end.wait(0.02):
            with suppress(HcsyncdError):  # it has ended
                most = max(most, int(way.status()["daemon"]["memory_bytes"]))

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield lambda: most
    finally:
        end.set()
        watching.join()


def write_large(address: tuple[str, int], payload: bytes) -> str:
    """Write a frame in pieces; what it is answered, "" when the connection is closed."""
    with MllpSender(address, 60) as line:
        try:
            line.socket.sendall(SB)
            for start in range(0, len(payload), MEBIBYTE):
                line.socket.sendall(payload[start : start + MEBIBYTE])
            line.socket.sendall(EB)
            return msa(line.answer())[0]
        except ConnectionError:
            return ""


@pytest.mark.parametrize(
    ("place", "limit", "code", "what"),
    [(12.1, 16 * MEBIBYTE, "AR", "refused"), (12.2, 64 * MEBIBYTE, "AA", "delivered")],
)
def test_huge_frames(
    road: Travel, receiver: MllpMoody, tell: Callable[[Row], None], place: float, limit: int, code: str, what: str
) -> None:
    way = road(files={"routes.yaml": PLAIN_ROUTE})
    file = way.folder / "channels/adt_in.yaml"
    file.write_text(f"source: {{kind: mllp, port: {way.port}, max_frame_bytes: {limit}}}\n")
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(20)
    before = int(way.status()["daemon"]["memory_bytes"])
    answers: list[str] = []
    with peak(way) as most:
        for number in range(2):
            acknowledged = way.acknowledged
            answers.append(write_large(way.address, order("L", f"L-{number}", text="x" * (50 * MEBIBYTE))))
            assert way.acknowledged > acknowledged, "others are served meanwhile"
        assert answers == [code, code]
        large = {"beside": ["L-0", "L-1"]} if code == "AA" else {"cut": 2}
        row = way.account(
            way.finish(),
            **large,
            place=place,
            fault=f"50 MB frames, {what}",
            made=f"two messages of 50 MB beside others, `max_frame_bytes: {limit}`",
            word="`frame_faulted` with `oversize`, the sender is answered AR" if code == "AR" else "none",
            recovery="nothing to recover; others are served all the time",
            tries=2,
        )
    bound = 8 * 50 * MEBIBYTE if code == "AA" else 8 * limit
    assert most() - before < bound, f"{(most() - before) / MEBIBYTE:.0f} MB more than before"
    print(f"\n{(most() - before) / MEBIBYTE:.0f} MB of memory for frames of 50 MB, {what}")
    tell(row)

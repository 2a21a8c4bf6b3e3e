"""A daemon between senders that resend and a receiver that counts, for tests that hurt it: what was sent, what was
acknowledged, what is in the store and what came out are counted apart from each other, and compared all the time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from hcsyncd.errors import HcsyncdError
from tests.fakes.daemon import DaemonProcess, write_site
from tests.fakes.fault_table import Row
from tests.fakes.mllp_sender import MllpSender, msa

RECONNECT_SECS = 0.02
LOOK_SECS = 0.01
SEND, DROP, REJECT = "SEND", "DROP", "REJECT"
OPEN = ("ready", "sending", "waiting")  # states of deliveries that the daemon still has to act on

TRANSFORM = """\
    from hcsyncd import Context, Drop, Hl7Document, Out, Reject, transform

    @transform
    def mark(message: Hl7Document, context: Context) -> Out | Drop | Reject:
        match message["PID-5.1"]:
            case "DROP":
                return Drop("told to")
            case "REJECT":
                return Reject("told to")
        message["MSH-5"] = "RELAY"
        return Out(message)
"""
ROUTES = "routes:\n  - {name: relay, from: adt_in, transform: relay.mark, to: relay_out}\n"
PLAIN_ROUTE = "routes:\n  - {name: relay, from: adt_in, to: relay_out}\n"
QUICK = "retry: {first_secs: 0.05, factor: 1, jitter: 0}\n"


def order(sender: str, control_id: str, kind: str = SEND, text: str = "") -> bytes:
    """A message of one sender: `kind` is what the transform does with it."""
    head = f"MSH|^~\\&|PAS|{sender}|ENGINE|HOSP|20260101120000||ADT^A01^ADT_A01|{control_id}|P|2.5"
    return f"{head}\rEVN|A01|20260101120000\rPID|1||4711^^^HOSP^MR||{kind}^{text}\rPV1|1|I|W1^R1^B1\r".encode()


def mixed(number: int) -> str:
    """Mostly messages to be sent; some to be filtered, a few that end as dead letters."""
    return DROP if number % 10 == 3 else REJECT if number % 25 == 7 else SEND


def always(_number: int) -> str:
    return SEND


class Receiver(Protocol):
    """Keeps what came, in order, whatever it answered: `took` lists (key, control id, body) of what it said yes to."""

    port: int

    @property
    def took(self) -> Sequence[tuple[str, str, bytes]]: ...

    def close(self) -> None: ...


class RoadSender(threading.Thread):
    """Keeps each message until it is acknowledged and sends it again until then, over as many connections as it takes.
    ``limit`` messages, or until told to finish."""

    def __init__(
        self,
        name: str,
        address: Callable[[], tuple[str, int]],
        kind: Callable[[int], str],
        limit: int = 0,
        pause_secs: float = 0.0,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.offered: list[str] = []
        self.acked: list[str] = []
        self.refused: list[str] = []
        self.kinds: dict[str, str] = {}
        self.resent = 0
        self._address = address
        self._kind = kind
        self._limit = limit
        self._pause_secs = pause_secs
        self._finish = threading.Event()
        self._line: MllpSender | None = None

    def finish(self, secs: float = 60) -> None:
        """Send nothing new; the one in hand is still brought through."""
        self._finish.set()
        self.join(secs)
        assert not self.is_alive(), f"sender {self.name} still has {self.offered[-1]} in hand"

    def run(self) -> None:
        while not self._finish.is_set() and not (self._limit and len(self.offered) >= self._limit):
            number = len(self.offered) + 1
            control_id = f"{self.name}-{number}"
            self.kinds[control_id] = self._kind(number)
            self.offered.append(control_id)
            code, about = msa(self._bring_through(order(self.name, control_id, self.kinds[control_id])))
            assert about == control_id
            (self.acked if code == "AA" else self.refused).append(control_id)
            time.sleep(self._pause_secs)
        self._hang_up()

    def _bring_through(self, payload: bytes) -> bytes:
        """Send until an answer other than "not now" comes."""
        while True:
            try:
                self._line = self._line or MllpSender(self._address(), timeout_secs=10.0)
                reply = self._line.send(payload)
            except OSError:
                self.resent += 1
                self._hang_up()
            else:
                if b"not taken now" not in reply:
                    return reply
                self.resent += 1
            time.sleep(RECONNECT_SECS)

    def _hang_up(self) -> None:
        if self._line:
            self._line.socket.close()
            self._line = None


class HandSender(RoadSender):
    """One that is led by hand: a message at a time, on a connection of its own, once."""

    def finish(self, secs: float = 60) -> None:
        """It has nothing in hand that it would bring through by itself."""

    @property
    def in_hand(self) -> str:
        """The message that was offered and not answered; "" when there is none."""
        answered = len(self.acked) + len(self.refused)
        return self.offered[-1] if len(self.offered) > answered else ""

    def offer(self) -> bool:
        """Send a new message; whether an answer came."""
        number = len(self.offered) + 1
        control_id = f"{self.name}-{number}"
        self.kinds[control_id] = self._kind(number)
        self.offered.append(control_id)
        return self.offer_again()

    def offer_again(self) -> bool:
        """Send what is in hand again; whether an answer came. With nothing in hand there is nothing to do."""
        control_id = self.in_hand
        if not control_id:
            return True
        try:
            with MllpSender(self._address(), timeout_secs=10.0) as line:
                code, about = msa(line.send(order(self.name, control_id, self.kinds[control_id])))
        except OSError:
            self.resent += 1
            return False
        assert about == control_id
        (self.acked if code == "AA" else self.refused).append(control_id)
        return True


class Watch(threading.Thread):
    """Looks at the daemon's counts all the time, and compares them with what is known outside of it."""

    def __init__(self, road: Road) -> None:
        super().__init__(name="watch", daemon=True)
        self.looks = 0
        self.faults: list[str] = []
        self._road = road
        self._end = threading.Event()
        self._awake = threading.Event()
        self._awake.set()

    def rest(self) -> None:
        """Look no more, until told to go on."""
        self._awake.clear()

    def go_on(self) -> None:
        self._awake.set()

    def end(self) -> None:
        self._end.set()
        self._awake.set()
        self.join(30)
        assert not self.is_alive()

    def run(self) -> None:
        while not self._end.wait(LOOK_SECS):
            self._awake.wait()
            road = self._road
            least = road.acknowledged
            try:
                counts = road.daemon.call("status")["counts"]
            except (HcsyncdError, OSError, AssertionError):
                continue  # killed, or not up yet
            most = road.offered + road.others
            took = len({key for key, _, _ in list(road.receiver.took)})
            self.looks += 1
            self.faults += [f"look {self.looks}: {fault}" for fault in faults_of(counts, least, most, took)]


def faults_of(counts: dict[str, dict[str, int]], least: int, most: int, took: int) -> list[str]:
    """What is wrong with a daemon's counts, where each message has at most one delivery and none is replayed: in =
    delivered + filtered + parked + dead + open, told by messages and by deliveries alike."""
    messages, deliveries = counts["messages"], counts["deliveries"]
    stored = sum(messages.values())
    under_way = sum(deliveries[state] for state in (*OPEN, "unsure", "parked"))
    found = []
    if not least <= stored <= most:
        found.append(f"{stored} stored, {least} acknowledged before and {most} offered after")
    if messages["done"] != deliveries["sent"]:
        found.append(f"{messages['done']} messages done, {deliveries['sent']} deliveries sent")
    if messages["routed"] != under_way:
        found.append(f"{messages['routed']} messages routed, {under_way} deliveries under way")
    if messages["dead"] < deliveries["dead"]:
        found.append(f"{messages['dead']} messages dead, {deliveries['dead']} deliveries dead")
    if messages["done"] > took:
        found.append(f"{messages['done']} messages done, {took} taken by the receiver")
    return found


class Road:
    """Site, daemon, senders, receiver and watch of one test."""

    def __init__(
        self,
        folder: Path,
        receiver: Receiver,
        files: dict[str, str] | None = None,
        breed: Callable[[Path], DaemonProcess] = DaemonProcess,
        **out: str,
    ) -> None:
        """``out`` adds lines to the destination's file; ``files`` replaces files of the site."""
        with socket.socket() as free:  # the daemon must come back on the same port
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        more = "".join(f"{name}: {value}\n" for name, value in out.items())
        destination = f"destination: {{kind: mllp, host: 127.0.0.1, port: {receiver.port}}}\nlane: MSH-4\n"
        site = {
            "channels/adt_in.yaml": f"source: {{kind: mllp, port: {self.port}}}\n",
            "channels/relay_out.yaml": destination + ("" if "retry" in out else QUICK) + more,
            "transforms/relay.py": TRANSFORM,
            "routes.yaml": ROUTES,
        }
        self.folder = write_site(folder / "site", {**site, **(files or {})})
        self.receiver = receiver
        self.daemon = breed(self.folder)
        self.senders: list[RoadSender] = []
        self.others = 1000  # messages that others than the senders may have sent, at most
        self.watch = Watch(self)

    def __enter__(self) -> Road:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind, however the test ended."""
        if self.watch.is_alive():
            self.watch.end()
        if self.daemon.has_started:
            self.daemon.kill()

    # What is known outside of the daemon

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def offered(self) -> int:
        return sum(len(sender.offered) for sender in self.senders)

    @property
    def acknowledged(self) -> int:
        return sum(len(sender.acked) for sender in self.senders)

    # Life

    def begin(
        self, senders: int = 0, kind: Callable[[int], str] = mixed, limit: int = 0, pause_secs: float = 0
    ) -> None:
        """Start the daemon, the senders and the watch."""
        self.daemon.start()
        self.watch.start()
        self.add(senders, kind, limit, pause_secs)

    def add(self, senders: int, kind: Callable[[int], str] = mixed, limit: int = 0, pause_secs: float = 0) -> None:
        """Let so many more send: ``limit`` messages each, or until the end."""
        for number in range(senders):
            sender = RoadSender(f"S{number}", lambda: self.address, kind, limit, pause_secs)
            self.senders.append(sender)
            sender.start()

    def send(self, control_id: str, kind: str = SEND) -> None:
        """One message more, from nobody in particular."""
        with MllpSender(self.address) as line:
            assert msa(line.send(order(control_id.partition("-")[0], control_id, kind))) == ("AA", control_id)

    def until_acknowledged(self, more: int, secs: float = 30) -> None:
        """Wait until so many more messages are acknowledged."""
        wanted = self.acknowledged + more
        self.until(lambda: self.acknowledged >= wanted, f"{wanted} acknowledged", secs)

    def until(self, true: Callable[[], object], what: str, secs: float = 30) -> None:
        deadline = time.monotonic() + secs
        while not true():
            assert time.monotonic() < deadline, f"still not so after {secs} s: {what}\n{self.daemon.log[-3000:]}"
            time.sleep(0.01)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.call("status")
        return found

    def channel(self, name: str) -> dict[str, Any]:
        return next(found for found in self.status()["channels"] if found["name"] == name)

    @property
    def is_reachable(self) -> bool:
        """Whether commands are answered."""
        try:
            self.status()
        except (HcsyncdError, OSError):
            return False
        return True

    @property
    def is_settled(self) -> bool:
        """Whether the daemon has nothing more to do by itself."""
        counts = self.status()["counts"]
        return not counts["messages"]["received"] and not any(counts["deliveries"][state] for state in OPEN)

    def finish(self, secs: float = 60) -> dict[str, dict[str, int]]:
        """Let the senders bring through what they have, the daemon settle everything, and stop it: the last counts."""
        for sender in self.senders:
            sender.finish(secs)
        self.until(lambda: self.is_settled, "settled", secs)
        counts: dict[str, dict[str, int]] = self.status()["counts"]
        self.watch.end()
        assert self.daemon.stop() == 0, self.daemon.log[-3000:]
        return counts

    # The account

    def words(self, *names: str) -> Counter[str]:
        """How often the log says each of these events."""
        said = Counter(event["event"] for event in self.events)
        return Counter({name: said[name] for name in names})

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line for line in self.daemon.log.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def account(self, counts: dict[str, dict[str, int]], beside: Sequence[str] = (), cut: int = 0, **said: Any) -> Row:
        """The row of the table, and the proof: raises AssertionError for whatever was lost, doubled or disordered.
        ``beside``: control ids of messages that were acknowledged to others than the senders; ``cut``: how many were
        kept as dead letters without being acknowledged."""
        messages, deliveries = counts["messages"], counts["deliveries"]
        took = list(self.receiver.took)
        came = [control_id for _, control_id, _ in took]
        kinds = {control_id: kind for sender in self.senders for control_id, kind in sender.kinds.items()}
        kinds |= dict.fromkeys(beside, SEND)
        wanted = {one for sender in self.senders for one in sender.acked if kinds[one] == SEND} | set(beside)
        effects: dict[str, bytes] = {}
        doubled = 0
        for key, _, body in took:
            doubled += effects.setdefault(key, body) != body
        doubled += len(effects) - len(set(came))
        first = list(dict.fromkeys(came))
        waiting = deliveries["unsure"] + deliveries["parked"]
        rejected = sum(kinds[one] == REJECT for sender in self.senders for one in sender.acked)
        excused = waiting + messages["dead"] - rejected - cut  # the receiver would not have them, or a person is asked
        row = Row(
            sent=self.offered + len(beside) + cut,
            acknowledged=self.acknowledged + len(beside),
            stored=sum(messages.values()),
            delivered=len(effects),
            repeats=len(took) - len(effects),
            filtered=messages["filtered"],
            parked=waiting,
            dead=messages["dead"],
            open=messages["received"] + messages["routed"] - waiting,
            lost=max(len(wanted - set(came)) - excused, 0),
            doubled=doubled,
            disordered=sum(self._is_disordered(sender, first) for sender in self.senders),
            looks=self.watch.looks,
            **said,
        )
        assert not self.watch.faults, "\n".join(self.watch.faults[:5])
        assert (row.lost, row.doubled, row.disordered, row.open) == (0, 0, 0, 0), row
        refused = sum(len(sender.refused) for sender in self.senders)
        assert row.stored == row.acknowledged + refused + cut, row
        assert row.stored == messages["done"] + row.filtered + row.parked + row.dead, row
        assert {kinds[one] for one in came} <= {SEND}, "what was filtered or rejected went out"
        return row

    @staticmethod
    def _is_disordered(sender: RoadSender, came: list[str]) -> bool:
        """Whether what came of a sender's messages came in another order than they were sent."""
        places = {control_id: place for place, control_id in enumerate(sender.offered)}
        mine = [places[control_id] for control_id in came if control_id in places]
        return mine != sorted(mine)

"""kill -9 at every edge of every transaction, one after the other: before each statement of the writer, around each
sync, and between a commit and what follows from it. None is left out: the sweep of a message's way ends when one came
through without reaching the next edge. The others try each different edge once, and each of them in the deep sweep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hcsyncd.cli.main import cli
from hcsyncd.errors import ControlError
from tests.fakes.fault_table import Row
from tests.fakes.faulty import EVENT, STATEMENT, SYNC, WRITE, Faults
from tests.fakes.moody_receiver import HttpMoody, Mood
from tests.fakes.nursery import ForkedDaemon
from tests.fakes.road import PLAIN_ROUTE, ROUTES, HandSender, Road, always
from tests.faults.conftest import Travel

MOST_EDGES = 400
ALL = (STATEMENT, SYNC, EVENT, WRITE)
MOST = (STATEMENT, SYNC, EVENT)
SOME = (STATEMENT, EVENT)  # a sync is a sync: that of a message's way stands for the others


@pytest.fixture
def poster() -> Iterator[HttpMoody]:
    listening = HttpMoody()
    yield listening
    listening.close()


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of work, done again and again by a daemon that dies one edge later each time."""

    way: Road
    hand: HandSender
    folder: Path
    faults: Faults

    @classmethod
    def over(
        cls, road: Travel, poster: HttpMoody, folder: Path, kinds: tuple[str, ...], source: str = "", out: str = ""
    ) -> Sweep:
        faults = Faults(armed=str(folder / "armed"), record=str(folder / "passed"), edges=kinds)
        way = road(
            to=poster,
            faults=faults,
            files={
                "routes.yaml": PLAIN_ROUTE,
                "channels/relay_out.yaml": f"destination: {{kind: http, url: 'http://127.0.0.1:{poster.port}/'}}\n"
                "format: hl7\nretry: {first_secs: 0.05, factor: 1, jitter: 0}\n" + out,
            },
        )
        file = way.folder / "channels/adt_in.yaml"
        file.write_text(file.read_text() + source)
        hand = HandSender("E", lambda: way.address, always)
        way.senders.append(hand)
        return cls(way, hand, folder, faults)

    @property
    def daemon(self) -> ForkedDaemon:
        assert isinstance(self.way.daemon, ForkedDaemon)
        return self.way.daemon

    @property
    def passed(self) -> list[str]:
        record = self.folder / "passed"
        return record.read_text().splitlines() if record.exists() else []

    def run(self, prepare: Callable[[], object], act: Callable[[], object], *, every: bool) -> list[str]:
        """Where the daemon died. ``prepare`` is done in peace, ``act`` at risk. ``every``: at each edge in turn, the
        same ones again and again; else at each different one. What the daemon does beside the work shifts the count a
        little: an edge that was never the last one is then gone for by name."""
        self.daemon.start()
        self.way.watch.start()
        deaths: list[str] = []
        while len(deaths) < MOST_EDGES and (death := self._try(prepare, act, die_at=len(deaths) + 1 if every else 0)):
            deaths.append(death)
        assert len(deaths) < MOST_EDGES, f"more than {MOST_EDGES} edges"
        for edge in sorted(set(self.passed) - set(deaths)):
            death = self._try(prepare, act, die_where=edge)
            assert death in (edge, ""), "killed elsewhere"
            deaths += [death] if death else []
        assert not self._try(prepare, act), "killed by nobody"
        return deaths

    def _try(self, prepare: Callable[[], object], act: Callable[[], object], **edge: Any) -> str:
        """Where the daemon died; "" when it came through alive."""
        self.daemon.kill()
        (self.folder / "passed").unlink(missing_ok=True)
        self.daemon.faults = replace(self.faults, **edge)
        self.daemon.start()
        assert self.hand.offer_again(), "what was not answered before the kill is answered after it"
        self.way.until(self._is_quiet, "quiet after the start")
        prepare()
        (self.folder / "armed").touch()
        act()
        self.way.until(lambda: self.daemon.has_ended or self._is_quiet(), "dead, or done")
        (self.folder / "armed").unlink()
        return self.passed[-1] if self.daemon.has_ended else ""

    @staticmethod
    def sees(true: Callable[[], object]) -> bool:
        """Whether something is so; not, where the daemon does not answer."""
        try:
            return bool(true())
        except ControlError:
            return False

    def _is_quiet(self) -> bool:
        """Nothing to do, nothing to write."""
        try:
            return self.way.is_settled and not self.way.status()["daemon"]["pending_writes"]
        except ControlError:
            return False  # it is just dying


def test_at_each_edge_of_the_way_of_a_message(
    road: Travel, poster: HttpMoody, tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    """T1, the reply, T2, T4."""
    sweep = Sweep.over(road, poster, tmp_path, ALL if deep else MOST)
    deaths = sweep.run(lambda: None, sweep.hand.offer, every=True)
    row = sweep.way.account(
        sweep.way.finish(),
        place=1.1,
        fault="kill -9 at each edge of T1, T2, T4",
        made=f"SIGKILL before each statement and around each sync and event: {len(set(deaths))} different edges",
        word="`daemon_started` with what it recovered",
        recovery="at the next start; the sender resends what got no answer",
        tries=len(deaths),
    )
    wanted = {"before insert_messages", "before insert_deliveries", "before settle_deliveries", "after syncing the log"}
    assert wanted | {"before BEGIN IMMEDIATE", "before COMMIT", "after MessageReceived", "after DeliverySent"} <= set(
        deaths
    )
    tell(row)


def test_at_each_edge_where_the_reply_waits_for_the_delivery(
    road: Travel, poster: HttpMoody, tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    """The reply is decided and stored after T4, before the sender is told."""
    sweep = Sweep.over(road, poster, tmp_path, ALL if deep else SOME, source="acknowledge: delivered\n")
    deaths = sweep.run(lambda: None, sweep.hand.offer, every=deep)
    row = sweep.way.account(
        sweep.way.finish(),
        place=1.2,
        fault="kill -9 at each edge, reply after delivery",
        made=f"`acknowledge: delivered`, SIGKILL at {len(set(deaths))} edges, the reply's decision among them",
        word="`daemon_started` with what it recovered",
        recovery="at the next start; a resend gets the reply that was decided",
        tries=len(deaths),
    )
    assert "before decide_replies" in deaths
    tell(row)


def test_at_each_edge_where_each_send_is_claimed_first(
    road: Travel, poster: HttpMoody, tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    """T3: a delivery that was claimed and not settled is never sent again by itself."""
    sweep = Sweep.over(road, poster, tmp_path, ALL if deep else SOME, out="after_crash: hold\n")
    deaths = sweep.run(lambda: None, sweep.hand.offer, every=deep)
    row = sweep.way.account(
        sweep.way.finish(),
        place=1.3,
        fault="kill -9 at each edge, each send claimed (T3)",
        made=f"`after_crash: hold`, SIGKILL at {len(set(deaths))} different edges",
        word="`delivery_unsure` for each delivery that was claimed when the kill came",
        recovery="by itself up to the claim; a claimed one waits for a person, as the option asks",
        tries=len(deaths),
    )
    assert "before claim_deliveries" in deaths
    assert row.repeats == 0, "what may have been sent was sent again"
    assert row.parked > 0
    tell(row)


def test_at_each_edge_of_a_dead_letters_replay(
    road: Travel, poster: HttpMoody, tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    sweep = Sweep.over(road, poster, tmp_path, ALL if deep else SOME)

    def dead_letters() -> int:
        return int(sweep.way.status()["counts"]["messages"]["dead"])

    def command(*words: str) -> str:
        return CliRunner().invoke(cli, [*words, "--yes", "--site", str(sweep.way.folder)]).output

    def replay() -> None:
        """As an operator would, who types it again when the daemon was gone, and does what the answer asks for."""
        answer = command("dead", "replay", "--all")
        if begun := re.search(r"in-other-replay: replay (\d+)", answer):
            command("replays", "apply", begun[1])

    def prepare() -> None:
        if dead_letters():
            replay()
            sweep.way.until(lambda: not dead_letters() and sweep.way.is_settled, "the replay is done again")
        poster.mood = Mood.REFUSES
        assert sweep.hand.offer()
        sweep.way.until(dead_letters, "refused")
        poster.mood = Mood.TAKES

    deaths = sweep.run(prepare, replay, every=deep)
    sweep.way.until(lambda: not dead_letters(), "replayed")
    row = sweep.way.account(
        sweep.way.finish(),
        place=1.4,
        fault="kill -9 at each edge of a replay",
        made=f"`dead replay`, SIGKILL at {len(set(deaths))} different edges",
        word="the command fails, and says that the daemon is gone; `dead list` shows what is left",
        recovery="a replay that was applied goes on by itself; else the same command again, which names what was begun",
        tries=len(deaths),
    )
    assert (row.dead, row.delivered) == (0, row.acknowledged)
    tell(row)


def test_at_each_edge_of_parking_and_release(
    road: Travel, poster: HttpMoody, tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    """An unknown code parks a message; the mapping is entered, the configuration reloaded, the message goes."""
    if not deep:
        pytest.skip("some hundred edges: HCSYNCD_FAULTS=all tries them")
    sweep = Sweep.over(road, poster, tmp_path, MOST)
    (sweep.way.folder / "routes.yaml").write_text(ROUTES)
    (sweep.way.folder / "mapping").mkdir()
    (sweep.way.folder / "mapping/codes.csv").write_text("code,value\nNONE,NOTHING\n")
    (sweep.way.folder / "transforms/relay.py").write_text(
        "from hcsyncd import Context, Hl7Document, Out, transform\n\n\n"
        "@transform\n"
        "def mark(message: Hl7Document, context: Context) -> Out:\n"
        '    message["MSH-5"] = context.lookup("codes", message["MSH-10"] or "")\n'
        "    return Out(message)\n"
    )

    def parked() -> int:
        return int(sweep.way.status()["counts"]["deliveries"]["parked"])

    def enter_the_code() -> None:
        command = ["mapping", "add", "codes", sweep.hand.offered[-1], "KNOWN", "--reason", "a new one"]
        CliRunner().invoke(cli, [*command, "--site", str(sweep.way.folder)])

    def prepare() -> None:
        if parked():
            enter_the_code()
            sweep.way.until(lambda: not parked() and sweep.way.is_settled, "released after all")

    def park_and_release() -> None:
        if sweep.hand.offer():
            sweep.way.until(lambda: sweep.daemon.has_ended or sweep.sees(parked), "parked")
            enter_the_code()
            sweep.way.until(lambda: sweep.daemon.has_ended or sweep.sees(lambda: not parked()), "released")

    deaths = sweep.run(prepare, park_and_release, every=deep)
    row = sweep.way.account(
        sweep.way.finish(),
        place=1.5,
        fault="kill -9 at each edge of parking and release",
        made=f"an unmapped code, then `mapping add`, SIGKILL at {len(set(deaths))} different edges",
        word="`tasks` shows what is parked; the command fails, and says that the daemon is gone",
        recovery="at the next start, which reads the mapping; else the same command again",
        tries=len(deaths),
    )
    assert (row.parked, row.delivered) == (0, row.acknowledged)
    tell(row)

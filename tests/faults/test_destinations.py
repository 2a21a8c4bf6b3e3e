"""Destinations that are away, flap, are slow, or answer what no receiver should: what is queued waits in its order, and
goes out by itself as soon as it can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.fault_table import Row
from tests.fakes.moody_receiver import HttpMoody, MllpMoody, Mood
from tests.fakes.road import PLAIN_ROUTE, Road, always
from tests.faults.conftest import Travel

SENDERS = 3
HTTP_OUT = """\
format: hl7
destination: {{kind: http, url: 'http://127.0.0.1:{port}/', timeout_secs: 0.3, connect_timeout_secs: 2}}
lane: MSH-4
retry: {{first_secs: 0.05, factor: 1, jitter: 0}}
{more}"""
MLLP_OUT = """\
destination: {{kind: mllp, host: 127.0.0.1, port: {port}, ack_timeout_secs: 0.3, reconnect_secs: 0}}
lane: MSH-4
retry: {{first_secs: 0.05, factor: 1, jitter: 0}}
{more}"""


@pytest.fixture
def poster() -> Iterator[HttpMoody]:
    listening = HttpMoody()
    yield listening
    listening.close()


def over(road: Travel, to: MllpMoody | HttpMoody, more: str = "") -> Road:
    """A road to a receiver that is waited for a third of a second."""
    text = (HTTP_OUT if isinstance(to, HttpMoody) else MLLP_OUT).format(port=to.port, more=more)
    return road(to=to, files={"channels/relay_out.yaml": text, "routes.yaml": PLAIN_ROUTE})


@pytest.mark.parametrize(("place", "kind"), [(8.11, "mllp"), (8.12, "http")])
def test_away_for_long(
    road: Travel, receiver: MllpMoody, poster: HttpMoody, tell: Callable[[Row], None], place: float, kind: str
) -> None:
    to = receiver if kind == "mllp" else poster
    way = over(road, to)
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(30)
    to.close()
    way.until_acknowledged(600)  # more than memory keeps of a lane: the rest is read from the store
    assert way.channel("relay_out")["health"] == "down"
    assert way.channel("relay_out")["queued"] >= 500
    to.open()
    way.until(lambda: way.channel("relay_out")["health"] == "up", "up again")
    way.until_acknowledged(30)
    row = way.account(
        way.finish(),
        place=place,
        fault=f"destination away for long ({kind})",
        made="the receiver is closed for several hundred messages, and opened again",
        word="`destination_failed` once, `channels` says why and how much is queued; `destination_recovered` once",
        recovery="by itself, as soon as it is back; what waited goes out in its order",
    )
    assert way.words("destination_failed", "destination_recovered") == {
        "destination_failed": 1,
        "destination_recovered": 1,
    }
    assert row.dead == 0
    tell(row)


@pytest.mark.parametrize(("place", "kind"), [(8.21, "mllp"), (8.22, "http")])
def test_flapping(
    road: Travel, receiver: MllpMoody, poster: HttpMoody, tell: Callable[[Row], None], place: float, kind: str
) -> None:
    to = receiver if kind == "mllp" else poster
    way = over(road, to)
    way.begin(SENDERS, kind=always)
    flaps = 8
    for _ in range(flaps):
        way.until_acknowledged(15)
        came = to.came
        way.until(lambda came=came: to.came > came, "it takes some")  # type: ignore[misc]
        to.close()
        way.until(lambda: way.channel("relay_out")["health"] == "down", "down")
        to.open()
    row = way.account(
        way.finish(),
        place=place,
        fault=f"destination flaps ({kind})",
        made="the receiver is closed and opened again, connections broken off in the middle",
        word="`destination_failed` and `destination_recovered` by turns",
        recovery="by itself each time",
        tries=flaps,
    )
    words = way.words("destination_failed", "destination_recovered")
    assert flaps <= words["destination_failed"] == words["destination_recovered"]
    assert row.dead == 0
    tell(row)


def test_slow(road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]) -> None:
    way = over(road, receiver)
    receiver.slow_secs = 0.1
    way.begin(SENDERS, kind=always, limit=60)
    way.until_acknowledged(3 * 60)
    queued = int(way.channel("relay_out")["queued"])
    assert queued > 50, "intake does not wait for a slow destination"
    receiver.slow_secs = 0.0
    row = way.account(
        way.finish(),
        place=8.3,
        fault="destination slow",
        made="each answer comes a tenth of a second late",
        word="`channels` shows what is queued and how old it is",
        recovery="nothing to recover; intake never waits for it",
    )
    assert (row.repeats, row.dead) == (0, 0)
    tell(row)


@pytest.mark.parametrize(
    ("place", "kind", "mood", "cause"),
    [
        (8.41, "mllp", Mood.GARBAGE, "ack-unreadable"),
        (8.42, "mllp", Mood.WRONG, "ack-mismatch"),
        (8.43, "mllp", Mood.SILENT, "ack-timeout"),
        (8.44, "mllp", Mood.HANGS_UP, "connection-lost"),
        (8.45, "mllp", Mood.FAILS, "ack-AR"),
        (8.51, "http", Mood.GARBAGE, "answer-unreadable"),
        (8.53, "http", Mood.SILENT, "answer-timeout"),
        (8.54, "http", Mood.HANGS_UP, "connection-lost"),
        (8.55, "http", Mood.FAILS, "http-503"),
    ],
)
def test_answers_that_settle_nothing(
    road: Travel,
    receiver: MllpMoody,
    poster: HttpMoody,
    tell: Callable[[Row], None],
    place: float,
    kind: str,
    mood: Mood,
    cause: str,
) -> None:
    """The same message comes again under the same key until it is answered as it should be."""
    to = receiver if kind == "mllp" else poster
    way = over(road, to)
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(15)
    way.until(lambda: way.is_settled or to.came > 5, "some are through")
    to.mood = mood
    tries = to.came
    way.until(lambda: to.came > tries + 2 * SENDERS, "tried again and again")
    way.until_acknowledged(15)
    assert way.channel("relay_out")["health"] == "down"
    to.mood = Mood.TAKES
    row = way.account(
        way.finish(),
        place=place,
        fault=f"destination {mood.value} ({kind})",
        made="for a while, under load",
        word=f"`destination_failed` once with `{cause}`, `delivery_delayed` for each try; `destination_recovered` once",
        recovery="by itself, at the first good answer; repeats came under the same key",
    )
    causes = {event["cause"] for event in way.events if event["event"] == "destination_failed"}
    assert causes == {cause}
    assert row.dead == 0
    tell(row)


def test_a_doubt_that_waits_for_a_person_where_the_receiver_knows_no_key(
    road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]
) -> None:
    """`on_timeout: unsure`: an answer that did not come is not a failure, and nothing is sent twice."""
    text = MLLP_OUT.format(port=receiver.port, more="").replace("reconnect_secs: 0", "on_timeout: unsure")
    way = road(files={"channels/relay_out.yaml": text, "routes.yaml": PLAIN_ROUTE})
    receiver.moods = [Mood.TAKES, Mood.SILENT, Mood.TAKES, Mood.TAKES, Mood.SILENT]
    way.begin(1, kind=always, limit=20)
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=8.6,
        fault="answer lost, the receiver knows no key",
        made="`on_timeout: unsure`, two messages of twenty are taken and not answered",
        word="`delivery_unsure` once for each",
        recovery="a person's, for these two alone; the others go on",
    )
    assert (row.parked, row.repeats, row.delivered) == (2, 0, 20)
    assert way.words("delivery_unsure") == {"delivery_unsure": 2}
    tell(row)


def test_refused_messages_are_dead_letters_and_the_others_go_on(
    road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]
) -> None:
    way = over(road, receiver)
    receiver.moods = [Mood.TAKES, Mood.REFUSES, Mood.TAKES, Mood.REFUSES, Mood.REFUSES]
    way.begin(1, kind=always, limit=20)
    way.until_acknowledged(20)
    row = way.account(
        way.finish(),
        place=8.7,
        fault="destination refuses some (mllp)",
        made="three messages of twenty are answered AE",
        word="`delivery_died` once for each, with `ack-AE`; `dead list` groups them by cause",
        recovery="a person's, for these three alone; the others go on",
    )
    assert (row.dead, row.delivered) == (3, 17)
    assert way.words("delivery_died", "destination_failed") == {"delivery_died": 3, "destination_failed": 0}
    tell(row)


def test_connecting_is_tried_by_the_clock_of_the_machine_and_not_by_the_length_of_the_queue(
    road: Travel, receiver: MllpMoody
) -> None:
    """A destination that is away costs tries by time: three lanes, one try in a twentieth of a second each."""
    way = over(road, receiver)
    receiver.close()
    way.begin(SENDERS, kind=always)
    way.until_acknowledged(200)
    began, tries = time.monotonic(), way.words("delivery_delayed")["delivery_delayed"]
    way.until_acknowledged(200)
    made = way.words("delivery_delayed")["delivery_delayed"] - tries
    assert made <= (time.monotonic() - began + 1) * 20 * SENDERS
    receiver.open()
    way.account(way.finish(), place=0, fault="", made="", word="", recovery="")

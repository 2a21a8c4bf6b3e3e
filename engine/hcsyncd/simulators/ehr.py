"""The stand-in for a hospital's patient administration system: a day's feed, and a player that sends it by MLLP.

The day is made of patient stories whose messages interleave in time. They carry the habits of real feeds: EVN-6 an hour
before EVN-2, PV1-44 empty or changed between messages of one visit, an emergency class that becomes inpatient without
an A06, an A12 whose EVN-2 is older than the transfer it cancels, an A13 that clears PV1-44 and PV1-45, two patient
identifiers, escapes and letters beyond ASCII.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hcsyncd.formats import mllp

STORIES: tuple[tuple[str, ...], ...] = (
    ("A01", "A08", "A02", "A03"),
    ("A04", "A01", "A02", "A03"),  # registered first, admitted later: one visit
    ("A01", "A11", "A01", "A02", "A03"),  # admission cancelled and made again
    ("A01", "A02", "A03", "A13", "A03"),  # discharge cancelled
    ("A01", "A02", "A02", "A12", "A02", "A03"),  # transfer cancelled
    ("A01", "A02", "A02", "A02", "A02", "A03"),
    ("A01", "S12", "S13", "A02", "A03"),
    ("S12", "A01", "S14", "A02", "A03"),
    ("S12", "S15"),
    ("A04", "A03"),
)
STRUCTURES: Mapping[str, str] = {  # HL7 v2.5.1 table 0354: the structure where it is not named after the trigger
    "A04": "ADT_A01",
    "A08": "ADT_A01",
    "A11": "ADT_A09",
    "A13": "ADT_A01",
    "S13": "SIU_S12",
    "S14": "SIU_S12",
    "S15": "SIU_S12",
}
FILLER_STATUS: Mapping[str, str] = {"S12": "Booked", "S13": "Booked", "S14": "Booked", "S15": "Cancelled"}

WARDS = ("MED1", "MED2", "SURG1", "ORTHO", "CARD", "ICU")
FAMILY_NAMES = ("Abel", "Brandt", "Costa", "Dvořák", "Eriksen", "Fischer", "Gómez", "Haas", "Ivanova", "Jansen")
GIVEN_NAMES = ("Ada", "Ben", "Clara", "David", "Elif", "Femke", "Georg", "Hanna", "Ines", "Jonas")
DOCTORS = ("1201^Weiss^Marta", "1202^O\\T\\Brien^Sean", "1203^Nguyen^Linh")  # \T\ is an escaped ampersand
PROCEDURES = ("81.54^Knee replacement^I9C", "81.51^Hip replacement^I9C", "51.23^Cholecystectomy^I9C")
THEATRES = ("OR1^Theatre 1", "OR2^Theatre 2")
TEST_PATIENT = "ZZTEST"  # every hospital has some: family name of patients who do not exist


@dataclass(frozen=True, slots=True)
class Visit:
    """One patient's stay, as the sender knows it between two messages."""

    patient: str
    visit: str
    name: str
    birth: str
    sex: str
    doctor: str
    service: str
    location: str
    previous: str = ""
    admitted: str = ""
    patient_class: str = "I"
    appointment: str = ""
    procedure: str = ""
    theatre: str = ""
    starts: datetime = field(default=datetime(2026, 1, 1, tzinfo=UTC))


def day(patients: int = 40, *, seed: int = 1, date: datetime = datetime(2026, 3, 2, tzinfo=UTC)) -> list[bytes]:
    """The messages of a day in the order they are sent, segments ended by CR. Same arguments, same bytes."""
    chance = random.Random(seed)  # noqa: S311 - a made-up day, nothing secret
    steps: list[tuple[datetime, int, str, Visit]] = []
    for number in range(patients):
        at = date + timedelta(minutes=chance.randrange(6 * 60, 14 * 60), seconds=chance.randrange(60))
        visit = _new_visit(chance, number, at)
        for trigger in STORIES[number % len(STORIES)]:
            visit = _advance(chance, visit, trigger, at)
            steps.append((at, number, trigger, visit))
            at += timedelta(minutes=chance.randrange(4, 55), seconds=chance.randrange(60))
    steps.sort(key=lambda step: step[:2])
    return [
        render(trigger, at, visit, control_id=f"E{seed:03d}{index:06d}")
        for index, (at, _, trigger, visit) in enumerate(steps, start=1)
    ]


def _new_visit(chance: random.Random, number: int, at: datetime) -> Visit:
    family = TEST_PATIENT if number % 12 == 11 else chance.choice(FAMILY_NAMES)
    return Visit(
        patient=f"P{500000 + number * 7}",
        visit=f"V{at:%y%m%d}{number:04d}",
        name=f"{family}^{chance.choice(GIVEN_NAMES)}",
        birth=f"{chance.randrange(1935, 2015)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}",
        sex=chance.choice("FM"),
        doctor=chance.choice(DOCTORS),
        service=chance.choice(("MED", "SUR", "CAR", "ORT")),
        location=_bed(chance),
        patient_class="E" if number % 4 == 0 else "I",
        appointment=f"A{70000 + number}",
        procedure=chance.choice(PROCEDURES),
        theatre=chance.choice(THEATRES),
        starts=(at + timedelta(days=1)).replace(minute=0, second=0),
    )


def _bed(chance: random.Random) -> str:
    return f"{chance.choice(WARDS)}^{chance.randrange(1, 20):02d}^{chance.choice('AB')}^GENERAL"


def _advance(chance: random.Random, visit: Visit, trigger: str, at: datetime) -> Visit:
    match trigger:
        case "A01":
            return replace(visit, admitted=_timestamp(at))
        case "A02":
            return replace(visit, location=_bed(chance), previous=visit.location)
        case "A12":  # PV1-6 names the transfer that is cancelled, PV1-3 is neither of its two beds
            return replace(visit, location=_bed(chance), previous=visit.location)
        case "A03":
            return replace(visit, patient_class="I")
        case "S13":
            return replace(visit, starts=visit.starts + timedelta(hours=2))
        case _:
            return visit


def render(trigger: str, at: datetime, visit: Visit, *, control_id: str) -> bytes:
    """One message of the feed (HL7 v2.5.1, chapters 3 and 10), sent at ``at``."""
    kind = "SIU" if trigger.startswith("S") else "ADT"
    structure = STRUCTURES.get(trigger, f"{kind}_{trigger}")
    fields = (
        r"MSH|^~\&",
        *("EHR", "GENERAL", "HCSYNCD", "GENERAL"),
        *(_timestamp(at), "", f"{kind}^{trigger}^{structure}", control_id, "P", "2.5.1"),
        *("", "", "", "", "", "UNICODE UTF-8"),
    )
    body = _scheduling(trigger, visit) if kind == "SIU" else _administration(trigger, at, visit)
    return "".join(f"{line}\r" for line in ("|".join(fields), *body)).encode()


def _administration(trigger: str, at: datetime, visit: Visit) -> Iterator[str]:
    recorded = at - timedelta(hours=2) if trigger == "A12" else at
    yield _segment("EVN", {1: trigger, 2: _timestamp(recorded), 6: _timestamp(recorded - timedelta(hours=1))})
    yield _patient(visit)
    left = _timestamp(at) if trigger == "A03" else ""
    admitted = "" if trigger in {"A08", "A13"} else visit.admitted
    yield _segment("PV1", _stay(visit) | {44: admitted, 45: left})
    if trigger in {"A01", "A04"}:
        yield _segment("PV2", {3: "^Admission from the day's list"})


def _scheduling(trigger: str, visit: Visit) -> Iterator[str]:
    starts = _timestamp(visit.starts)
    slot = f"^^90^{starts}^{_timestamp(visit.starts + timedelta(minutes=90))}"
    yield _segment(
        "SCH", {1: visit.appointment, 2: f"F{visit.appointment}", 6: "SURG", 11: slot, 25: FILLER_STATUS[trigger]}
    )
    yield _patient(visit)
    yield _segment("PV1", _stay(visit))
    yield _segment("RGS", {1: "1"})
    yield _segment("AIS", {1: "1", 3: visit.procedure, 4: starts, 7: "90", 8: "min"})
    yield _segment("AIL", {1: "1", 3: visit.theatre})
    yield _segment("AIP", {1: "1", 3: visit.doctor})


def _patient(visit: Visit) -> str:
    identifiers = f"{visit.patient}^^^GENERAL^MR~99{visit.patient[1:]}^^^NHS^NH"
    return _segment("PID", {1: "1", 3: identifiers, 5: visit.name, 7: visit.birth, 8: visit.sex})


def _stay(visit: Visit) -> dict[int, str]:
    return {
        1: "1",
        2: visit.patient_class,
        3: visit.location,
        6: visit.previous,
        7: visit.doctor,
        10: visit.service,
        19: f"{visit.visit}^^^GENERAL^VN",
    }


def _segment(name: str, fields: Mapping[int, str]) -> str:
    last = max(number for number, value in fields.items() if value)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S}"


async def play(messages: Iterable[bytes], host: str, port: int, *, timeout_secs: float = 30.0) -> AsyncIterator[bytes]:
    """Send each message over one connection, wait for its answer and yield that. ``timeout_secs`` bounds each wait.

    Raises OSError when the listener is not there, ConnectionError when it hangs up, TimeoutError when it is silent.
    """
    reader, writer = await asyncio.open_connection(host, port)
    splitter = mllp.Splitter(max_bytes=1024 * 1024)
    try:
        for message in messages:
            writer.write(mllp.render(message))
            await writer.drain()
            yield await asyncio.wait_for(_answer(reader, splitter), timeout_secs)
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, splitter: mllp.Splitter) -> bytes:
    while data := await reader.read(65536):
        for found in splitter.feed(data):
            if isinstance(found, mllp.Frame):
                return found.payload
    raise ConnectionError("the listener hung up before it answered")

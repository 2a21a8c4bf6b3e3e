"""The demo: a hospital's day through the daemon, and what a person wants to see of it afterwards."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from hcsyncd.config.table_edit import enter
from hcsyncd.errors import HcsyncdError
from hcsyncd.simulators import report
from hcsyncd.simulators.ehr import day, play
from hcsyncd.simulators.hospital import Hospital, open_hospital

PATIENTS = 40
IN_FILE = 24  # the last messages of the day come as a file
PLAY_SECS = 8.0  # the day, for those who watch
FAILS = (0.25, 0.75)  # of the day: between these, the receiver of events answers 503
OLD_WARD, NEW_WARD, NEW_WARD_VALUE = b"|CARD^", b"|NEU1^", "NE"  # a ward that was opened today
LIMIT_SECS = 55.0
SETTLE_SECS = 25.0
UNDER_WAY = {
    "messages": frozenset({"received", "routed"}),
    "replays": frozenset({"received", "routed"}),
    "deliveries": frozenset({"ready", "sending", "waiting"}),
}


@dataclass(slots=True)
class Day:
    """What was sent, and what the sender was told."""

    by_mllp: int = 0
    by_file: int = 0
    answers: list[str] = field(default_factory=list)  # MSA-1
    header: bytes = b""  # the first segment of the message that was sent without it

    @property
    def sent(self) -> int:
        return self.by_mllp + self.by_file


def run(site: Path, console: Console | None = None, *, play_secs: float = PLAY_SECS) -> int:
    """Play the demo on a copy of a site, the day in ``play_secs`` seconds; the exit code. Leaves no process and no file
    behind, also when it is interrupted."""
    out = console or Console(highlight=False)
    try:
        return asyncio.run(_bounded(site, out, play_secs))
    except (KeyboardInterrupt, asyncio.CancelledError):
        out.print("\ninterrupted: everything was taken down again")
        return 130
    except TimeoutError:
        out.print(f"[red]the demo took longer than {LIMIT_SECS:g} s and was ended[/]")
        return 1
    except HcsyncdError as error:
        out.print(str(error), style="red", markup=False)
        return 1


async def _bounded(site: Path, out: Console, play_secs: float) -> int:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(LIMIT_SECS):
        out.print(report.opening())
        async with open_hospital(site) as hospital:
            return await _tell(hospital, out, play_secs)


async def _tell(hospital: Hospital, out: Console, play_secs: float) -> int:
    sent = await _play_the_day(hospital, out, play_secs)
    counts = (await hospital.quiet("everything that can be delivered is", SETTLE_SECS))["counts"]["messages"]
    accounted = sum(counts.get(state, 0) for state in ("done", "filtered", "routed", "dead"))
    well = sum(counts.values()) == sent.sent == accounted
    out.print(report.accounts(sent.by_mllp, sent.by_file, counts))
    well = await _enter_mapping(hospital, out) and well
    well = well and hospital.events.is_once and hospital.bed_board.is_in_order
    ward_lists = len(list((hospital.data / "ward_lists").glob("[!.]*")))
    out.print(report.receivers(hospital.events, hospital.bed_board, ward_lists))
    well = await _repair(hospital, out, sent) and well
    out.print(report.trace(await _interesting(hospital)))
    out.print(report.farewell(well))
    return 0 if well else 1


async def _enter_mapping(hospital: Hospital, out: Console) -> bool:
    """Show what waits for the new ward's code, enter it, and see it go; whether nothing is left."""
    (view,) = await hospital.ask("tasks.list")
    table, code = view["task"]["table"], view["task"]["code"]
    enter(hospital.site, table, code, NEW_WARD_VALUE)
    entered = {"table": table, "code": code, "reason": "opened this morning"}
    await hospital.ask("mapping.enter", entered)
    counts = (await hospital.wait("what was parked is delivered", SETTLE_SECS, UNDER_WAY))["counts"]
    left = len(await hospital.ask("tasks.list"))
    out.print(report.mapping(view, NEW_WARD_VALUE, counts["messages"], left))
    return not left and not counts["messages"].get("routed", 0) and not counts["deliveries"].get("parked", 0)


async def _repair(hospital: Hospital, out: Console, sent: Day) -> bool:
    """Show the dead letter, put its first segment back, replay it; whether it is delivered now and none is left."""
    letter = (await hospital.ask("dead.list"))[0]
    number = letter["message"]["id"]
    body = base64.b64decode((await hospital.ask("messages.show", {"id": number, "body": True}))["body"])
    out.print(report.dead_letter(letter, body, next(answer for answer in sent.answers if answer != "AA")))
    copy_id = await hospital.replay({"dead": True, "wanted": {"ids": [number]}, "body": sent.header + b"\r" + body})
    after = await hospital.wait("the repaired message is delivered", SETTLE_SECS, UNDER_WAY)
    copy = (await hospital.ask("messages.show", {"id": copy_id}))["message"]
    left = after["counts"]["messages"].get("dead", 0)
    out.print(report.repair(number, sent.header, copy, left))
    return copy["state"] == "done" and not left


async def _play_the_day(hospital: Hospital, out: Console, play_secs: float) -> Day:
    messages = [message.replace(OLD_WARD, NEW_WARD) for message in day(PATIENTS)]
    live, filed = messages[:-IN_FILE], messages[-IN_FILE:]
    broken = next(index for index in range(len(live) // 2, len(live)) if b"|ADT^A01^" in live[index])
    sent = Day(header=live[broken].split(b"\r", 1)[0])
    live[broken] = live[broken].split(b"\r", 1)[1]
    host, _, port = (await hospital.address("adt_in")).rpartition(":")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.total} messages"))
    with Progress(*columns, console=out, transient=True) as progress:
        bar = progress.add_task("the day, by MLLP", total=len(live))
        async for answer in play(_with_trouble(hospital, live), host, int(port)):
            sent.answers.append(_code(answer))
            progress.advance(bar)
            await asyncio.sleep(play_secs / len(live))
    sent.by_mllp = len(live)
    hospital.events.failing = False
    await asyncio.to_thread(_drop, Path(await hospital.address("adt_files")), filed)
    sent.by_file = len(filed)
    await _until_taken(hospital, sent.sent)
    return sent


def _with_trouble(hospital: Hospital, messages: list[bytes]) -> Iterator[bytes]:
    """The messages, while the receiver of events fails for a part of the day."""
    first, last = (share * len(messages) for share in FAILS)
    for index, message in enumerate(messages):
        hospital.events.failing = first <= index < last
        yield message


def _drop(folder: Path, messages: list[bytes]) -> None:
    """One batch file (HL7 v2.5.1 §2.10.3), under its name only when it is whole."""
    batch = b"FHS|^~\\&|EHR\rBHS|^~\\&|EHR\r" + b"".join(messages) + b"BTS|%d\rFTS|1\r" % len(messages)
    hidden = folder / ".late_feed.hl7"
    hidden.write_bytes(batch)
    hidden.rename(folder / "late_feed.hl7")


async def _until_taken(hospital: Hospital, messages: int) -> None:
    deadline = asyncio.get_running_loop().time() + SETTLE_SECS
    while sum((await hospital.ask("status"))["counts"]["messages"].values()) < messages:
        if asyncio.get_running_loop().time() > deadline:
            raise hospital.failure("the file was not taken")
        await asyncio.sleep(0.1)


async def _interesting(hospital: Hospital) -> dict[str, Any]:
    """The trace of the transfer whose deliveries needed the most attempts."""
    rows = await hospital.ask("messages.list", {"type": "ADT^A02", "channel": "adt_in", "state": "done", "limit": 60})
    traces = [await hospital.ask("messages.trace", {"id": row["id"]}) for row in rows]
    return max(traces, key=lambda found: (len(found["attempts"]), -found["messages"][0]["id"]))


def _code(answer: bytes) -> str:
    """MSA-1 of an acknowledgement."""
    for line in answer.split(b"\r"):
        if line.startswith(b"MSA|"):
            return line.split(b"|")[1].decode()
    return ""

"""What the demo shows, in a form a person likes to read. Everything here only renders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from hcsyncd.clock import isoformat
from hcsyncd.simulators.receiver import EventReceiver, MllpReceiver

SHOWN_BYTES = 160


def opening() -> RenderableType:
    """What is about to happen."""
    return Group(
        Text("hcsyncd: a hospital day on this machine", style="bold"),
        Text(
            "The daemon runs on a copy of the reference site. Around it stand an EHR, a receiver of events (HTTP), a"
            " bed board (MLLP) and a folder of ward lists. The receiver of events will be closed for a part of the day,"
            " a ward will be new to the bed board, and one message will come without its first segment."
        ),
    )


def accounts(by_mllp: int, by_file: int, counts: Mapping[str, int]) -> RenderableType:
    """In = delivered + filtered + parked + dead."""
    table = _table("Every message is accounted for", "hcsyncd status")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("in", str(by_mllp + by_file), f"{by_mllp} by MLLP, {by_file} in one batch file")
    table.add_section()
    table.add_row("delivered", str(counts.get("done", 0)), "to every destination of their routes")
    table.add_row("filtered", str(counts.get("filtered", 0)), "test patients, dropped on purpose")
    table.add_row("parked", str(counts.get("routed", 0)), "wait for a ward's code, or behind one that does")
    table.add_row("dead", str(counts.get("dead", 0)), "needs a person")
    table.add_section()
    total = sum(counts.get(state, 0) for state in ("done", "filtered", "routed", "dead"))
    verdict = "adds up" if total == by_mllp + by_file == sum(counts.values()) else f"DOES NOT ADD UP: {dict(counts)}"
    table.add_row("sum", str(total), verdict)
    return _spaced(table)


def receivers(events: EventReceiver, bed_board: MllpReceiver, ward_lists: int) -> RenderableType:
    """What the other side saw."""
    table = _table("What arrived on the other side", "hcsyncd channels")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    once = "each once" if events.is_once else "NOT each once"
    told = f"events, {once}; it was closed and answered 503 to {events.refused} attempts"
    table.add_row("events_out", str(sum(events.taken.values())), told)
    order = "each patient's in the order they came" if bed_board.is_in_order else "OUT OF ORDER"
    table.add_row("relay_out", str(len(bed_board.control_ids)), f"messages with two fields changed, {order}")
    table.add_row("ward_lists", str(ward_lists), "files, one a ward and movement")
    return _spaced(table)


def mapping(view: Mapping[str, Any], value: str, counts: Mapping[str, int], left: int) -> RenderableType:
    """The code that had no mapping, and what came of what waited for it."""
    task = view["task"]
    table = _table("The ward that nobody had told the bed board of", "hcsyncd tasks")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("task", f"{task['id']}: mapping/{task['table']}.csv has no entry for {escape(task['code'])}")
    table.add_row("parked under it", f"{task['parked']} deliveries; each patient's later ones waited behind")
    command = f"hcsyncd mapping add {task['table']} {task['code']} {value} --reason 'opened this morning'"
    table.add_row("mapping entered", escape(command))
    table.add_row("and gone, in order", f"{counts.get('done', 0)} messages delivered now, {left} tasks left")
    return _spaced(table)


def dead_letter(letter: Mapping[str, Any], body: bytes, answer: str) -> RenderableType:
    """A dead letter with its cause."""
    message = letter["message"]
    table = _table("The dead letter", f"hcsyncd dead show {message['id']}")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row(
        "message", f"{message['id']}, {message['bytes']} bytes from {message['peer']} on {message['channel']}"
    )
    table.add_row("cause", f"{escape(message['cause'])}: {escape(message['text'])}")
    table.add_row("told to the sender", f"{answer}, and kept byte for byte")
    table.add_row("its bytes", _shown(body))
    return _spaced(table)


def repair(message_id: int, header: bytes, copy: Mapping[str, Any], still_dead: int) -> RenderableType:
    """How it was brought back."""
    table = _table("Its repair and replay", f"hcsyncd dead replay {message_id} --edit")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("put back", _shown(header))
    table.add_row("replayed", f"as message {copy['id']}, {copy['keys']['type']}, which is now {copy['state']}")
    table.add_row("dead letters", f"{still_dead} left")
    return _spaced(table)


def trace(found: Mapping[str, Any]) -> RenderableType:
    """A message's whole way, from cause to effects, with times."""
    message = found["messages"][0]
    head = f"{message['keys']['type']} {message['keys']['control_id']} from {message['keys']['sender']}"
    tree = Tree(f"{_time(message['received_at'])} [bold]message {message['id']}[/] {escape(head)}: {message['state']}")
    tree.add(f"to its sender: acknowledgement {message['reply_state']}, after it was on disk")
    for delivery in found["deliveries"]:
        branch = tree.add(f"{delivery['route']} to [bold]{delivery['destination']}[/]: {delivery['state']}")
        for attempt in found["attempts"]:
            if attempt["delivery_id"] == delivery["id"]:
                took = (attempt["ended_at"] - attempt["started_at"]) / 1000
                said = escape(attempt["text"] or attempt["state"])
                branch.add(
                    f"{_time(attempt['started_at'])} attempt {attempt['number']}: {said} [dim]({took:.1f} ms)[/]"
                )
    return _spaced(Group(_title("One message's whole trace", f"hcsyncd messages trace {message['id']}"), tree))


def farewell(well: bool) -> RenderableType:
    """What to try next."""
    steps = (
        ("make run", "the daemon on this checkout's own site: MLLP on port 2575, metrics on port 9464"),
        ("bin/hcsyncd status", "how it fares, in another terminal"),
        ("bin/hcsyncd send FILE --to mllp://127.0.0.1:2575", "send it your own messages"),
        ("bin/hcsyncd check", "change routes.yaml or a file of transforms/, and see what it says"),
        ("bin/hcsyncd test", "run the cases of channels/adt_in.test.yaml"),
        ("bin/hcsyncd reload", "put the change to work, without losing a connection"),
        ("bin/hcsyncd init DIR", "a site of your own"),
    )
    table = _table("What to try next", "")
    table.add_column(no_wrap=True, style="bold")
    table.add_column(style="dim")
    for command, meaning in steps:
        table.add_row(command, meaning)
    end = Text(
        "All well. Nothing is left behind." if well else "Not all is well: see above.", style="green" if well else "red"
    )
    return Group(_spaced(table), end)


def _table(title: str, command: str) -> Table:
    return Table(title=_title(title, command), title_justify="left", box=box.SIMPLE, show_header=False, pad_edge=False)


def _title(title: str, command: str) -> Text:
    text = Text(title, style="bold not italic")
    return text.append(f"   {command}", style="not bold dim") if command else text


def _spaced(content: RenderableType) -> Padding:
    return Padding(content, (1, 0, 0, 0), expand=False)


def _shown(body: bytes) -> str:
    text = body[:SHOWN_BYTES].decode(errors="replace").replace("\r", " ⏎ ")
    return escape(text + (" ..." if len(body) > SHOWN_BYTES else ""))


def _time(moment: int) -> str:
    return isoformat(moment)[11:23]

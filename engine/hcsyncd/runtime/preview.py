"""What a reload would change against what runs: item by item, with what it reaches in the store and on the wire."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, SecretStr

from hcsyncd.config.finding import Finding
from hcsyncd.config.model import Channel, Part, Route, Site
from hcsyncd.message import OPEN_DELIVERY_STATES, DeliveryState
from hcsyncd.record import Record
from hcsyncd.runtime.change import Change, in_service, is_rebuilt
from hcsyncd.runtime.site import TRANSFORMS
from hcsyncd.store.ports import Queued

MAX_ROWS = 50  # of one mapping table that are listed; the counts are whole
MAX_SHOWN = 120  # characters of one value
LAYOUT_ALONE = "the files differ in comments or layout alone"


class Verdict(StrEnum):
    """What becomes of an item."""

    ADDED = "added"
    REMOVED = "removed"
    REBUILT = "rebuilt"  # a channel whose connections are made anew
    CHANGED = "changed"


class Detail(Record, frozen=True):
    """One thing of an item: an option, a row of a table. None: it is not there."""

    name: str
    was: str | None
    now: str | None

    def __str__(self) -> str:
        if self.was is None:
            return f"{self.name}: {self.now}"
        return f"{self.name}: {self.was} -> {self.now}" if self.now is not None else f"{self.name}: {self.was}, gone"


class Item(Record, frozen=True):
    """One thing that a reload would change."""

    kind: str  # channel, route, transform, mapping, daemon, files
    name: str
    verdict: Verdict
    details: tuple[Detail, ...] = ()
    messages: int = 0  # received and not routed, that it reaches
    deliveries: int = 0  # open, that it reaches
    unsettled: int = 0  # dead, unsure and parked deliveries, that it reaches
    connections: int = 0  # that would be cut
    notes: tuple[str, ...] = ()

    def words(self) -> str:
        """The item as one line for a person."""
        details = "; ".join(map(str, self.details))
        counts = (
            (self.messages, "message waits for its routes", "messages wait for their routes"),
            (self.deliveries, "delivery is queued", "deliveries are queued"),
            (self.unsettled, "delivery needs a person", "deliveries need a person"),
            (self.connections, "connection would be cut", "connections would be cut"),
        )
        reached = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
        tail = "".join(f"; {text}" for text in (*self.notes, *reached))
        return f"{self.kind} {self.name}: {self.verdict}{f' ({details})' if details else ''}{tail}"


class Preview(Record, frozen=True):
    """A plan: what `reload` would do now. ``digest`` is of the files that it was made from."""

    generation: int  # that runs
    digest: str
    is_live: bool  # the files are what runs: nothing would be done
    items: tuple[Item, ...]
    warnings: tuple[Finding, ...] = ()


def preview(
    generation: int, change: Change, queued: Queued, connections: Callable[[str], int], warnings: tuple[Finding, ...]
) -> Preview:
    """``connections`` gives a source channel's peers."""
    is_live = change.old.digest == change.new.digest
    items = () if is_live else tuple(_reached(item, change, queued, connections) for item in changed_items(change))
    return Preview(generation, change.new.digest, is_live, items, warnings)


def changed_items(change: Change) -> tuple[Item, ...]:
    """Everything that a change changes, without what it reaches; the layout, where that is all."""
    items = (*_channels(change), *_routes(change), *_transforms(change), *_tables(change), *_daemon(change))
    return items or (Item("files", "", Verdict.CHANGED, notes=(LAYOUT_ALONE,)),)


def _reached(item: Item, change: Change, queued: Queued, connections: Callable[[str], int]) -> Item:
    if item.kind == "channel":
        old = change.old.channels.get(item.name)
        cut = item.verdict in (Verdict.REMOVED, Verdict.REBUILT) and old is not None and old.source is not None
        deliveries, unsettled = _deliveries(queued, lambda _route, destination: destination == item.name)
        messages = queued.messages.get(item.name, 0)
        return _with(item, messages, deliveries, unsettled, connections(item.name) if cut else 0)
    if item.kind == "route":
        deliveries, unsettled = _deliveries(queued, lambda route, _destination: route == item.name)
        sources = {name for site in (change.old, change.new) for name in _sources_of(site, item.name)}
        return _with(item, sum(queued.messages.get(name, 0) for name in sources), deliveries, unsettled, 0)
    return item


def _with(item: Item, messages: int, deliveries: int, unsettled: int, connections: int) -> Item:
    return Item(
        item.kind,
        item.name,
        item.verdict,
        item.details,
        messages,
        deliveries,
        unsettled,
        connections,
        item.notes if deliveries or item.kind != "channel" else (),
    )


def _deliveries(queued: Queued, is_meant: Callable[[str, str], bool]) -> tuple[int, int]:
    """How many are open, and how many need a person."""
    counts = [0, 0]
    for (route, destination, state), count in queued.deliveries.items():
        if is_meant(route, destination):
            counts[DeliveryState(state) not in OPEN_DELIVERY_STATES] += count
    return counts[0], counts[1]


def _sources_of(site: Site, route: str) -> list[str]:
    return [source for known in site.routes if known.name == route for source in known.options.source]


# Channels and routes


def _channels(change: Change) -> Iterator[Item]:
    old, new = in_service(change.old), in_service(change.new)
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before is None:
            yield Item("channel", name, Verdict.ADDED)
        elif after is None:
            queued = "what is queued for it is still delivered"
            yield Item("channel", name, Verdict.REMOVED, notes=(queued,) if before.destination else ())
        elif details := tuple(_channel_details(before, after)):
            if is_rebuilt(before, after):
                again = "what is queued for it goes out by the new one"
                yield Item("channel", name, Verdict.REBUILT, details, notes=(again,) if after.destination else ())
            else:
                yield Item("channel", name, Verdict.CHANGED, details)


def _channel_details(old: Channel, new: Channel) -> Iterator[Detail]:
    for name in ("source", "destination", "format"):
        yield from _part_details(getattr(old, name), getattr(new, name), name)
    yield from option_details(old.options, new.options)


def _part_details(old: Part | None, new: Part | None, name: str) -> Iterator[Detail]:
    if old is None or new is None or old.kind != new.kind:
        if old != new:
            yield Detail(name, old.kind if old else None, new.kind if new else None)
        return
    yield from option_details(old.options, new.options, f"{name}.")


def _routes(change: Change) -> Iterator[Item]:
    old: dict[str, Route] = {route.name: route for route in change.old.routes}
    new: dict[str, Route] = {route.name: route for route in change.new.routes}
    order = [name for name in new if name in old] != [name for name in old if name in new]
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Item("route", name, Verdict.ADDED)
        elif name not in new:
            yield Item("route", name, Verdict.REMOVED, notes=("what it has made is still delivered",))
        elif details := tuple(option_details(old[name].options, new[name].options)):
            yield Item("route", name, Verdict.CHANGED, details, notes=("what it has made stays as it is",))
    if order:
        yield Item("routes", "order", Verdict.CHANGED, (Detail("order", ", ".join(old), ", ".join(new)),))


def option_details(old: BaseModel, new: BaseModel, above: str = "") -> Iterator[Detail]:
    """The options that differ, by the names they are written with. Secrets are never shown."""
    for name, option in type(new).model_fields.items():
        before, after = getattr(old, name, None), getattr(new, name)
        if before == after:
            continue
        path = f"{above}{option.alias or name}"
        if isinstance(before, BaseModel) and type(before) is type(after):
            yield from option_details(before, after, f"{path}.")
        else:
            was, now = _shown(before), _shown(after)
            yield Detail(path, was, f"another {now}" if was == now else now)


def _shown(value: Any) -> str:
    """A value as it is written, with every secret in it masked."""
    text = _masked(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _masked(value: Any) -> str:
    match value:
        case SecretStr():
            return "secret" if value.get_secret_value() else "none"
        case BaseModel():
            named = ((option.alias or name, getattr(value, name)) for name, option in type(value).model_fields.items())
            return f"{{{', '.join(f'{name}: {_masked(part)}' for name, part in named)}}}"
        case Mapping():
            return f"{{{', '.join(f'{key}: {_masked(part)}' for key, part in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_masked, value))}]"
        case None | "":
            return "none"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


# Transforms, tables, the daemon


def _transforms(change: Change) -> Iterator[Item]:
    below = f"{TRANSFORMS}/"
    files = sorted(name for name in change.old.files.keys() | change.new.files.keys() if name.startswith(below))
    for file in files:
        old, new = change.old.files.get(file), change.new.files.get(file)
        if old == new:
            continue
        module = ".".join(PurePosixPath(file.removeprefix(below)).with_suffix("").parts)
        before, after = _definitions(old), _definitions(new)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) == after.get(name):
                continue
            verdict = Verdict.CHANGED
            if name and (name not in before or name not in after):
                verdict = Verdict.ADDED if name not in before else Verdict.REMOVED
            function = f"{module}.{name}" if name else module
            notes = () if name else (f"what stands in {file} outside of functions",)
            yield Item("transform", function, verdict, notes=(*notes, *_users(change.new, function)))


def _users(site: Site, function: str) -> Iterator[str]:
    for route in site.routes:
        if function in (route.options.filter, route.options.transform):
            yield f"route {route.name} uses it"


def _definitions(content: bytes | None) -> dict[str, str]:
    """Each function and class at the top of a file, without its layout; under "" whatever else is there."""
    if content is None:
        return {}
    found: dict[str, str] = {}
    rest = []
    for node in ast.parse(content).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = ast.dump(node)
        else:
            rest.append(ast.dump(node))
    return {**found, **({"": "\n".join(rest)} if rest else {})}


def _tables(change: Change) -> Iterator[Item]:
    old, new = change.old.tables, change.new.tables
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Item("mapping", name, Verdict.REMOVED, notes=(f"{len(old[name])} rows",))
        elif name not in old:
            yield Item("mapping", name, Verdict.ADDED, notes=(f"{len(new[name])} rows",))
        elif old[name] != new[name]:
            yield _table(name, old[name], new[name])


def _table(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Item:
    codes = [code for code in dict.fromkeys([*old, *new]) if old.get(code) != new.get(code)]
    counts = {
        "added": sum(code not in old for code in codes),
        "removed": sum(code not in new for code in codes),
        "changed": sum(code in old and code in new for code in codes),
    }
    rows = tuple(Detail(code, old.get(code), new.get(code)) for code in codes[:MAX_ROWS])
    told = ", ".join(f"{count} row{'s' * (count != 1)} {word}" for word, count in counts.items() if count)
    return Item("mapping", name, Verdict.CHANGED, rows, notes=(told,))


def _daemon(change: Change) -> Iterator[Item]:
    details = tuple(option_details(change.old.daemon, change.new.daemon))
    if details:
        of_retention = [detail.name.startswith("retention") for detail in details]
        when = "at the next start, retention at once" if any(of_retention) else "at the next start"
        when = "at once" if all(of_retention) else when
        yield Item("daemon", "hcsyncd.yaml", Verdict.CHANGED, details, notes=(f"takes effect {when}",))

"""The configuration: how it is changed, what a change would do, and what it was."""

from __future__ import annotations

import asyncio
import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.runtime.activation import file_changes
from hcsyncd.runtime.configurations import Configurations
from hcsyncd.runtime.live import Order, Reloaded
from hcsyncd.runtime.preview import Preview
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import ConfigurationRow

Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Reason = Annotated[str, msgspec.Meta(max_length=500)]
GivenReason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Reload(Request, frozen=True):
    """Take the site as its files are now. ``digest``, or its beginning: only if they are still those of that plan."""

    reason: Reason = ""
    digest: Annotated[str, msgspec.Meta(pattern="^(|[0-9a-f]{8,64})$")] = ""


class Page(Request, frozen=True):
    """Generations, the newest first; ``before`` goes on below a number."""

    before: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class One(Request, frozen=True):
    """One generation; ``content`` asks for what its files say."""

    number: Number
    content: bool = False


class Two(Request, frozen=True):
    """Two generations to be compared."""

    number: Number
    other: Number


class Save(Request, frozen=True):
    """Keep the files that are on disk, because they are about to be overwritten."""

    reason: GivenReason


def _showing(asked: One) -> Access:
    return Access.SEES if asked.content else Access.LOOKS


class Changer(Protocol):
    """Changes the live configuration. Implemented by `runtime.activation.Activation`."""

    @property
    def folder(self) -> Path:
        """The site's."""
        ...

    async def reload(self, order: Order, digest: str = "") -> Reloaded: ...

    async def save(self, order: Order) -> int: ...

    async def plan(self) -> Preview: ...


class ConfigurationVerbs:
    """``reload``, ``configuration.plan``, ``.history``, ``.show``, ``.diff``, ``.save``."""

    def __init__(self, changer: Changer, configurations: Configurations) -> None:
        self._changer = changer
        self._configurations = configurations

    def verbs(self) -> Verbs:
        return {
            "reload": Verb(Reload, self.reload, Access.CHANGES),
            "configuration.plan": Verb(Request, self.plan),
            "configuration.history": Verb(Page, self.history),
            "configuration.show": Verb(One, self.show, _showing),
            "configuration.diff": Verb(Two, self.diff, Access.SEES),
            "configuration.save": Verb(Save, self.save, Access.CHANGES),
        }

    async def reload(self, asked: Reload, caller: Caller) -> Reloaded:
        return await self._changer.reload(Order(caller.name, asked.reason), asked.digest)

    async def plan(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        """A `runtime.preview.Preview`, each item with its ``words``."""
        plan = await self._changer.plan()
        items = [{**msgspec.to_builtins(item), "words": item.words()} for item in plan.items]
        return {**msgspec.structs.asdict(plan), "items": items}

    async def history(self, asked: Page, _caller: Caller) -> list[ConfigurationRow]:
        return await self._configurations.history.rows(asked.before, asked.limit)

    async def show(self, asked: One, _caller: Caller) -> dict[str, Any]:
        """``{"generation": ConfigurationRow, "files": {name: bytes}}``: how long each file is or, with ``content``,
        what it says."""
        row = await self._row(asked.number)
        files = await self._configurations.files_of(asked.number)
        shown: Mapping[str, Any] = files if asked.content else {name: len(content) for name, content in files.items()}
        return {"generation": row, "files": shown, "site": str(self._changer.folder)}

    async def diff(self, asked: Two, _caller: Caller) -> dict[str, Any]:
        """``{"changes": [line], "diff": [line]}``: file by file in words, and as a unified diff."""
        old = await self._configurations.files_of(asked.number)
        new = await self._configurations.files_of(asked.other)
        return {"changes": file_changes(old, new), "diff": await asyncio.to_thread(unified_diff, old, new)}

    async def save(self, asked: Save, caller: Caller) -> dict[str, int]:
        """``{"number": n}``; 0 when the files on disk are those of what runs."""
        return {"number": await self._changer.save(Order(caller.name, asked.reason))}

    async def _row(self, number: int) -> ConfigurationRow:
        row = await self._configurations.history.row(number)
        if row is None:
            raise ControlError(f"there is no generation {number}; `hcsyncd history` lists those that are kept")
        return row


def unified_diff(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    """The lines of a unified diff over all files, without line ends; `git apply` and `patch -p1` read it."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        lines += (
            line.rstrip("\n")
            for line in difflib.unified_diff(
                _lines(before),
                _lines(after),
                "/dev/null" if before is None else f"a/{name}",
                "/dev/null" if after is None else f"b/{name}",
            )
        )
    return lines


def _lines(content: bytes | None) -> list[str]:
    return [] if content is None else list(io.StringIO(content.decode("utf-8", "backslashreplace"), newline="\n"))

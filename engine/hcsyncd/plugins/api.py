"""What the author of a transform sees; everything here is reached as ``from hcsyncd import ...``.

A transform is a pure function ``(document, context) -> Out | list[Out] | Drop | Reject``. It runs in a worker process,
may be run again at any time with the same input, and must then give the same result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from hcsyncd.errors import Reject, UnmappedCode
from hcsyncd.message import NO_FACTS, Keys


@runtime_checkable
class Renders(Protocol):
    """Anything that can put itself into bytes: every document of hcsyncd can."""

    def to_bytes(self) -> bytes: ...


Body = Renders | bytes | str | dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Out:
    """One thing to send. A dict or list becomes JSON. ``to`` narrows it to one of the route's destinations, ``lane``
    overrides the route's lane key, ``name`` is offered to a folder destination's name pattern."""

    body: Body = field(repr=False)
    content_type: str = ""  # "": JSON for a dict or list, else that of the destination's format
    type: str = ""
    to: str = ""
    lane: str = ""
    name: str = ""
    headers: Mapping[str, str] = NO_FACTS

    def to_bytes(self) -> bytes:
        """The body as it will leave."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        if isinstance(self.body, (dict, list)):
            return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
        return self.body.to_bytes()


@dataclass(frozen=True, slots=True)
class Drop:
    """The message is not wanted on this route. Counted and kept as filtered, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a transform may know beside the document: fixed for a message, so that a re-run gives the same."""

    message_id: int
    channel: str
    route: str
    received_at: int  # microseconds since the epoch
    keys: Keys
    replay_of: int | None = None
    facts: Mapping[str, str] = NO_FACTS
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def lookup(self, table: str, code: str, default: str | None = None) -> str:
        """The entry for ``code`` in ``mapping/<table>``. Without a default, a missing entry raises UnmappedCode: what
        the route was to send is parked, under a task that names table and code, until the entry is there. A table that
        is not there at all makes a dead letter."""
        entries = self.tables.get(table)
        if entries is None:
            raise UnmappedCode(
                f"there is no mapping table {table!r}; known: {', '.join(sorted(self.tables)) or 'none'}"
            )
        found = entries.get(code, default)
        if found is None:
            raise UnmappedCode(f"mapping table {table!r} has no entry for {code!r}", table, code)
        return found


Result = Out | list[Out] | Drop | Reject
Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__hcsyncd_role__"


def transform(function: Function) -> Function:
    """Mark a function as a transform that routes may name as ``file.function``."""
    setattr(function, MARK, "transform")
    return function


def filter(function: Function) -> Function:  # noqa: A001 - the author writes @hcsyncd.filter, the word routes.yaml uses
    """Mark a function ``(document, context) -> bool`` as a filter that routes may name: False keeps the message
    out."""
    setattr(function, MARK, "filter")
    return function

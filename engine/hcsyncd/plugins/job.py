"""What goes to a worker process and what comes back, as msgpack arrays.

These are msgspec structs and not dataclasses because thousands cross a process border each second. A job holds one
message and the steps that its routes take with it; its results stand in the order of its steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hcsyncd.message import Keys, Message


class Step(Struct, frozen=True, array_like=True, gc=False):
    """What one route does with a message. Functions are named ``file.function``; empty: none."""

    route: str
    filter: str = ""
    transform: str = ""
    to: tuple[str, ...] = ()  # the route's destinations: an `Out` may name one of these; empty: any

    @property
    def runs_code(self) -> bool:
        """Whether there is anything to run; a step without stays in the parent."""
        return bool(self.filter or self.transform)


class Job(Struct, frozen=True, array_like=True, gc=False):
    """One message and its steps. The channel says which format reads the body; see `wire.Load`."""

    message_id: int
    channel: str
    received_at: int  # microseconds since the epoch
    keys: Keys
    body: bytes
    steps: tuple[Step, ...]
    facts: dict[str, str] = {}
    replay_of: int | None = None

    def __repr__(self) -> str:
        return f"Job(message_id={self.message_id}, channel={self.channel!r}, steps={self.steps!r})"

    @classmethod
    def of(cls, message: Message, steps: Sequence[Step]) -> Job:
        """The job that a stored message is."""
        return cls(
            message.id,
            message.channel,
            message.received_at,
            message.keys,
            message.body,
            tuple(steps),
            dict(message.facts) if message.facts else {},
            message.replay_of,
        )


class Passed(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """The filter let the message through and there is no transform: the bytes go on as they came."""


class MadeOut(Struct, frozen=True, array_like=True, gc=False):
    """One `Out`, rendered. ``content_type`` "" means that of the destination's format. ``type`` and ``control_id`` are
    read from the body where it is HL7 and the author did not say."""

    body: bytes
    content_type: str = ""
    type: str = ""
    control_id: str = ""
    to: str = ""  # one of the route's destinations; "" is all of them
    lane: str = ""
    name: str = ""
    headers: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"MadeOut(<{len(self.body)} bytes>, type={self.type!r}, to={self.to!r}, name={self.name!r})"


class Made(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """What a transform made: at least one thing to send."""

    outs: tuple[MadeOut, ...]


class Dropped(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The filter or the transform does not want the message on this route."""

    reason: str


class Failed(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The step failed. ``cause`` is a stable code, ``text`` names file, line and error and holds nothing of the body;
    ``rejected`` when a transform refused the message on purpose: then ``text`` is its reason for the sender. ``table``
    and ``missing`` name the lookup that found no entry, where it was one."""

    cause: str
    text: str
    rejected: bool = False
    table: str = ""
    missing: str = ""


StepResult = Passed | Made | Dropped | Failed

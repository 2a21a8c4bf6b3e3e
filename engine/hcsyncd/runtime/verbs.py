"""The operator's verbs: what a command over the control socket does, and what it answers.

Answers are plain records that `hcsyncd.runtime.control` puts into JSON: dataclasses become objects, bytes base64, times
stay microseconds since the epoch. A verb that changes something takes the exact ids it changes; a person's filter is
turned into ids by the listing before, so that what was confirmed and what is done are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.events import Event
from hcsyncd.runtime.control import Verb
from hcsyncd.runtime.live import ChannelStatus, DaemonStatus, Health, Live, Reloaded
from hcsyncd.runtime.repair import MAX_IDS, Discard, Id, Repairer, Replay
from hcsyncd.store.ports import DeadRow, Filter, History, MessageRow, Repairs

__all__ = ["ChannelStatus", "DaemonStatus", "Health", "Live", "Operator", "Reloaded"]


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's filter, as it comes over the wire: the fields of `store.ports.Filter`."""

    ids: tuple[Id, ...] = ()
    channel: str = ""
    route: str = ""
    destination: str = ""
    type: str = ""
    control_id: str = ""
    state: str = ""
    cause: str = ""
    since: int | None = None
    until: int | None = None
    after_id: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)] = 100
    newest_first: bool = True

    def filter(self) -> Filter:
        return Filter(**msgspec.structs.asdict(self))


class One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message; ``body`` asks for its bytes and for those of its deliveries."""

    id: Id
    body: bool = False


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verb without arguments."""


Args = TypeVar("Args", bound=msgspec.Struct)


def _read(args: dict[str, Any], form: type[Args]) -> Args:
    try:
        return msgspec.convert(args, form)
    except msgspec.ValidationError as error:
        raise ControlError(f"the command's arguments are not right: {error}") from error


class Operator:
    """Everything an operator can ask of a running daemon. Reads never wait for the store's writer."""

    def __init__(self, history: History, repairs: Repairs, live: Live, emit: Callable[[Event], None]) -> None:
        self._history = history
        self._repairer = Repairer(history, repairs, live, emit)
        self._live = live

    def verbs(self) -> dict[str, Verb]:
        """The table that the control server serves."""
        return {
            "status": self.status,
            "channels": self.channels,
            "reload": self.reload,
            "messages.list": self.list_messages,
            "messages.show": self.show_message,
            "messages.trace": self.trace_message,
            "messages.replay": self.replay_messages,
            "dead.list": self.list_dead,
            "dead.replay": self.replay_dead,
            "dead.discard": self.discard_dead,
        }

    async def status(self, args: dict[str, Any]) -> dict[str, Any]:
        """``{"daemon": DaemonStatus, "channels": [ChannelStatus], "counts": {"messages": {state: n}, ...}}``."""
        _read(args, Nothing)
        return {
            "daemon": self._live.status(),
            "channels": self._live.channels(),
            "counts": await self._history.counts(),
        }

    async def channels(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        """Each channel's ChannelStatus, with the ``counts`` of its messages or deliveries by state."""
        _read(args, Nothing)
        counts: dict[str, dict[str, int]] = {}
        for channel, state, count in await self._history.channel_counts():
            counts.setdefault(channel, {})[state] = count
        return [
            {**msgspec.to_builtins(status), "counts": counts.get(status.name, {})} for status in self._live.channels()
        ]

    async def reload(self, args: dict[str, Any]) -> Reloaded:
        _read(args, Nothing)
        return await self._live.reload()

    async def list_messages(self, args: dict[str, Any]) -> list[MessageRow]:
        return await self._history.find(_read(args, Selection).filter())

    async def show_message(self, args: dict[str, Any]) -> dict[str, Any]:
        """A message with its deliveries, their attempts and the replies that were given; bodies only when asked for."""
        wanted = _read(args, One)
        message = await self._message(wanted.id)
        shown = await self._with_deliveries([message])
        shown["message"] = shown.pop("messages")[0]
        at_once, application = await self._history.replies(wanted.id)
        shown["replies"] = {"at_once": at_once, "application": application}
        if wanted.body:
            shown["body"] = await self._history.body(wanted.id)
            shown["sent"] = {
                str(delivery.id): await self._history.sent_body(delivery.id)
                for delivery in shown["deliveries"]
                if delivery.made
            }
        return shown

    async def trace_message(self, args: dict[str, Any]) -> dict[str, Any]:
        """Every message with the same first cause, with all deliveries and attempts."""
        wanted = _read(args, One)
        await self._message(wanted.id)
        return await self._with_deliveries(await self._history.trace(wanted.id))

    async def replay_messages(self, args: dict[str, Any]) -> dict[str, Any]:
        """``{"copies": [[original, copy], ...]}``, in the order of the ids given."""
        return {"copies": await self._repairer.replay(_read(args, Replay))}

    async def list_dead(self, args: dict[str, Any]) -> list[DeadRow]:
        return await self._history.dead(_read(args, Selection).filter())

    async def replay_dead(self, args: dict[str, Any]) -> dict[str, Any]:
        """``{"reopened": [delivery, ...], "copies": [[original, copy], ...]}``."""
        reopened, copies = await self._repairer.revive(_read(args, Replay))
        return {"reopened": reopened, "copies": copies}

    async def discard_dead(self, args: dict[str, Any]) -> dict[str, int]:
        """``{"discarded": n}``; nothing of them is deleted."""
        return {"discarded": await self._repairer.discard(_read(args, Discard))}

    async def _message(self, message_id: int) -> MessageRow:
        row = await self._history.message(message_id)
        if row is None:
            raise ControlError(f"there is no message {message_id}")
        return row

    async def _with_deliveries(self, messages: list[MessageRow]) -> dict[str, Any]:
        deliveries = await self._history.deliveries([row.id for row in messages])
        attempts = await self._history.attempts([row.id for row in deliveries])
        return {"messages": messages, "deliveries": deliveries, "attempts": attempts}

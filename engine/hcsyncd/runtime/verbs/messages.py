"""Messages found and shown."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.runtime.repair import MAX_IDS, Id
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import Filter, History, MessageRow


class Selection(Request, frozen=True):
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


class One(Request, frozen=True):
    """One message; ``body`` asks for its bytes and for those of its deliveries."""

    id: Id
    body: bool = False


def _showing(asked: One) -> Access:
    return Access.SEES if asked.body else Access.LOOKS


class MessageVerbs:
    """``messages.list``, ``messages.show``, ``messages.trace``. Reads never wait for the store's writer."""

    def __init__(self, history: History) -> None:
        self._history = history

    def verbs(self) -> Verbs:
        return {
            "messages.list": Verb(Selection, self.list_messages),
            "messages.show": Verb(One, self.show_message, _showing),
            "messages.trace": Verb(One, self.trace_message),
        }

    async def list_messages(self, asked: Selection, _caller: Caller) -> list[MessageRow]:
        return await self._history.find(asked.filter())

    async def show_message(self, asked: One, _caller: Caller) -> dict[str, Any]:
        """A message with its deliveries, their attempts and the replies that were given; bodies only when asked for."""
        message = await self._message(asked.id)
        shown = await self._with_deliveries([message])
        shown["message"] = shown.pop("messages")[0]
        at_once, application = await self._history.replies(asked.id)
        shown["replies"] = {"at_once": at_once, "application": application}
        if asked.body:
            shown["body"] = await self._history.body(asked.id)
            shown["sent"] = {
                str(delivery.id): await self._history.sent_body(delivery.id)
                for delivery in shown["deliveries"]
                if delivery.made
            }
        return shown

    async def trace_message(self, asked: One, _caller: Caller) -> dict[str, Any]:
        """Every message with the same first cause, with all deliveries and attempts."""
        await self._message(asked.id)
        return await self._with_deliveries(await self._history.trace(asked.id))

    async def _message(self, message_id: int) -> MessageRow:
        row = await self._history.message(message_id)
        if row is None:
            raise ControlError(f"there is no message {message_id}")
        return row

    async def _with_deliveries(self, messages: list[MessageRow]) -> dict[str, Any]:
        deliveries = await self._history.deliveries([row.id for row in messages])
        attempts = await self._history.attempts([row.id for row in deliveries])
        return {"messages": messages, "deliveries": deliveries, "attempts": attempts}

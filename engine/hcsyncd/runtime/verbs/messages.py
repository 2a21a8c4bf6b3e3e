"""Messages found, shown and compared."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.formats.format import Format
from hcsyncd.runtime.difference import field_differences
from hcsyncd.runtime.explaining import Explainer
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.runtime.reading import form_of_content, origins, read_body, shown_change
from hcsyncd.runtime.repair import MAX_IDS, Id
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import DeliveryRow, Filter, History, MessageRow, Search

ANY_TEXT = Annotated[str, msgspec.Meta(max_length=500)]


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
    keys: tuple[tuple[str, ANY_TEXT], ...] = ()
    text: ANY_TEXT = ""
    trace: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    first_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    last_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    after_id: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)] = 100
    newest_first: bool = True

    def filter(self) -> Filter:
        return Filter(**{name: getattr(self, name) for name in Selection.__struct_fields__})


def access_of_selection(asked: Selection) -> Access:
    """Whoever looks by a business key or for a text learns of a patient what was asked."""
    return Access.SEES if asked.keys or asked.text else Access.LOOKS


class One(Request, frozen=True):
    """One message; ``body`` asks for its bytes and for those of its deliveries, ``values`` for the values of their
    fields."""

    id: Id
    body: bool = False
    values: bool = False


class Comparison(Request, frozen=True):
    """What is compared: a message with what was made of it, for one delivery or each; or with another message."""

    id: Id
    other: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    delivery: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    values: bool = False


def _showing(asked: One | Comparison) -> Access:
    return Access.SEES if asked.values or (isinstance(asked, One) and asked.body) else Access.LOOKS


class MessageVerbs:
    """``messages.list``, ``messages.show``, ``messages.diff``, ``messages.trace``. Reads never wait for the store's
    writer."""

    def __init__(self, history: History, search: Search, lookout: Lookout) -> None:
        self._history = history
        self._search = search
        self._lookout = lookout
        self._explainer = Explainer(search, lookout)

    def verbs(self) -> Verbs:
        return {
            "messages.list": Verb(Selection, self.list_messages, access_of_selection),
            "messages.show": Verb(One, self.show_message, _showing),
            "messages.diff": Verb(Comparison, self.compare, _showing),
            "messages.trace": Verb(One, self.trace_message),
        }

    async def list_messages(self, asked: Selection, _caller: Caller) -> list[MessageRow]:
        return await self._history.find(asked.filter())

    async def show_message(self, asked: One, _caller: Caller) -> dict[str, Any]:
        """A message with its deliveries and why they wait, their attempts, the replies that were given, and its fields;
        bytes and values only when asked for."""
        message = await self._message(asked.id)
        shown = await self._with_deliveries([message])
        shown["message"] = shown.pop("messages")[0]
        at_once, application = await self._history.replies(asked.id)
        shown["replies"] = {"at_once": at_once, "application": application}
        shown["missing"] = await self._explainer.missing([message], shown["deliveries"])
        values = asked.body or asked.values
        if values:
            shown["keys"] = await self._search.keys([message.id])
        if message.body_removed_at:
            return shown
        body = await self._history.body(asked.id)
        shown["read"] = read_body(self._lookout.form_of(message.channel), body, values=values)
        if asked.body:
            shown["body"] = body
            shown["sent"] = {
                str(delivery.id): await self._history.sent_body(delivery.id)
                for delivery in shown["deliveries"]
                if delivery.made
            }
        return shown

    async def compare(self, asked: Comparison, _caller: Caller) -> dict[str, Any]:
        """``{"comparisons": [...]}``: the fields that differ where both sides are of one format; where they are not,
        the fields of what was sent with the places in what arrived that their values come from."""
        message = await self._with_body(asked.id)
        form, body = self._lookout.form_of(message.channel), await self._history.body(message.id)
        if asked.other:
            other = await self._with_body(asked.other)
            names = (f"message {message.id}", f"message {other.id}")
            its_form, its_body = self._lookout.form_of(other.channel), await self._history.body(other.id)
            return {"comparisons": [_compared(names, (form, its_form), (body, its_body), values=asked.values)]}
        deliveries = [row for row in await self._history.deliveries([message.id]) if row.made]
        chosen = [row for row in deliveries if asked.delivery in (0, row.id)]
        if not chosen:
            known = ", ".join(str(row.id) for row in deliveries) or "none was made"
            raise ControlError(f"message {message.id} has no delivery {asked.delivery or ''} to compare with: {known}")
        comparisons = []
        for row in chosen:
            names = (f"message {message.id}", f"delivery {row.id} to {row.destination}")
            forms = (form, form_of_content(row.content_type, self._lookout.form_of(row.destination), form))
            sent = await self._history.sent_body(row.id)
            comparisons.append(_compared(names, forms, (body, sent), values=asked.values))
        return {"comparisons": comparisons}

    async def trace_message(self, asked: One, _caller: Caller) -> dict[str, Any]:
        """Every message with the same first cause, with all deliveries and attempts, and what is still missing."""
        await self._message(asked.id)
        messages = await self._history.trace(asked.id)
        traced = await self._with_deliveries(messages)
        traced["missing"] = await self._explainer.missing(messages, traced["deliveries"])
        return traced

    async def _message(self, message_id: int) -> MessageRow:
        row = await self._history.message(message_id)
        if row is None:
            raise ControlError(f"there is no message {message_id}")
        return row

    async def _with_body(self, message_id: int) -> MessageRow:
        row = await self._message(message_id)
        if row.body_removed_at:
            raise ControlError(f"retention has removed the body of message {message_id}: there is nothing to compare")
        return row

    async def _with_deliveries(self, messages: list[MessageRow]) -> dict[str, Any]:
        deliveries: list[DeliveryRow] = await self._history.deliveries([row.id for row in messages])
        attempts = await self._history.attempts([row.id for row in deliveries])
        return {"messages": messages, "deliveries": deliveries, "attempts": attempts}


def _compared(
    names: tuple[str, str], forms: tuple[Format | None, Format | None], bodies: tuple[bytes, bytes], *, values: bool
) -> dict[str, Any]:
    one, other = forms
    reads = [read_body(form, body, values=values) for form, body in zip(forms, bodies, strict=True)]
    found: dict[str, Any] = {
        "one": names[0],
        "other": names[1],
        "formats": [read.format for read in reads],
        "version_of_one": reads[0].version,
        "version": reads[1].version,
        "same": bodies[0] == bodies[1],
        "problems": [f"{name}: {read.problem}" for name, read in zip(names, reads, strict=True) if read.problem],
    }
    if one is not None and other is not None and one.name == other.name:
        differences = field_differences(bodies[0], bodies[1], other)
        found["changes"] = [shown_change(each.path, each.was, each.now, values=values) for each in differences]
        return found
    places = origins(read_body(other, bodies[1], values=True), read_body(one, bodies[0], values=True))
    found["fields"] = [
        {"path": field.path, "value": field.value, "from": places.get(field.path, "")} for field in reads[1].fields
    ]
    return found

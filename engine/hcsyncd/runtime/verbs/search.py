"""Finding messages over all channels, by what a person has in hand; and why something waits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

from hcsyncd.config.finding import suggestion
from hcsyncd.errors import ControlError
from hcsyncd.message import MessageState
from hcsyncd.record import Record
from hcsyncd.runtime.explaining import Explainer
from hcsyncd.runtime.indexing import Indexer
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection, access_of_selection
from hcsyncd.store.ports import Filter, History, MessageRow, Reach, Search

LOOK_MESSAGES = 1_000_000
LOOK_BYTES = 512 << 20  # of bodies, before a search for a text says how far it has come
FACT_MESSAGES = 200_000  # looked through for a file's name
MATCHES = 50  # shown of one kind

IDEMPOTENCY_KEY = re.compile(r"[0-9a-f]{12}-([0-9]{1,18})-.+")
KEY_AND_VALUE = re.compile(r"([a-z][a-z0-9_]*)=(.+)", re.DOTALL)


class Look(Selection, frozen=True):
    """A search that ends at a bound: ``look`` messages, 0 for the usual ones. ``why`` says of what is open why it
    waits."""

    look: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    why: bool = False


class Word(Request, frozen=True):
    """What a person pasted."""

    word: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class WhyRequest(Request, frozen=True):
    """A message or a delivery; without either, what is open, the oldest first."""

    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    delivery: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


class Match(Record, frozen=True, gc=True):
    """What was found, and by what."""

    by: str  # message id, delivery id, control id, key mrn, idempotency key, wire fact
    rows: list[MessageRow]
    delivery: int = 0  # where a delivery was meant


class SearchVerbs:
    """``messages.search``, ``find``, ``trace``, ``why``, ``search.reindex``, ``search.reindexing``."""

    def __init__(self, history: History, search: Search, lookout: Lookout, indexer: Indexer) -> None:
        self._history = history
        self._search = search
        self._lookout = lookout
        self._indexer = indexer
        self._explainer = Explainer(search, lookout)

    def verbs(self) -> Verbs:
        return {
            "messages.search": Verb(Look, self.search, access_of_selection),
            "find": Verb(Word, self.find, Access.SEES),
            "trace": Verb(Word, self.trace, Access.SEES),
            "why": Verb(WhyRequest, self.why),
            "search.reindex": Verb(Request, self.reindex, Access.CHANGES),
            "search.reindexing": Verb(Request, self.reindexing),
        }

    async def search(self, asked: Look, _caller: Caller) -> dict[str, Any]:
        """``{"rows", "looked_to", "looked_to_at", "messages", "hints", "why"}``; ``looked_to`` 0: nothing is left."""
        reach = Reach(asked.look or LOOK_MESSAGES, LOOK_BYTES)
        looked = await self._history.look(asked.filter(), reach)
        end = await self._history.message(looked.looked_to) if looked.looked_to else None
        whys = await self._explainer.at_a_glance(self._history, looked.rows) if asked.why else {}
        return {
            "rows": looked.rows,
            "looked_to": looked.looked_to,
            "looked_to_at": end.received_at if end else 0,
            "messages": looked.messages,
            "hints": [] if looked.rows else self._hints(asked),
            "why": {str(message_id): why for message_id, why in whys.items()},
        }

    def _hints(self, asked: Look) -> list[str]:
        """Names in a filter that found nothing, which the live site does not know either."""
        channels = [channel.name for channel in self._lookout.channels()]
        hints = [*_unknown("channel", [asked.channel], channels), *_unknown("channel", [asked.destination], channels)]
        hints += _unknown("route", [asked.route], self._lookout.route_names())
        return hints + _unknown("key", [name for name, _ in asked.keys], self._lookout.key_names())

    async def find(self, asked: Word, _caller: Caller) -> dict[str, Any]:
        """``{"matches": [Match], "keys": names of declared keys}``: all that a word may mean."""
        return {"matches": await self._matches(asked.word.strip()), "keys": list(self._lookout.key_names())}

    async def _matches(self, word: str) -> list[Match]:
        found = [
            *await self._by_number(word),
            *await self._by_control_id(word),
            *await self._by_key(word),
            *await self._by_idempotency_key(word),
        ]
        if not found and len(word) > 2:
            ids = await self._search.with_fact(word, FACT_MESSAGES, MATCHES)
            if rows := await self._rows(ids):
                found.append(Match("wire fact", rows))
        return found

    async def _rows(self, ids: Iterable[int]) -> list[MessageRow]:
        wanted = tuple(dict.fromkeys(ids))[:MATCHES]
        return await self._history.find(Filter(ids=wanted, limit=MATCHES)) if wanted else []

    async def _by_number(self, word: str) -> list[Match]:
        if not (word.isascii() and word.isdecimal()) or not 0 < int(word) < 2**63:
            return []
        rows = await self._rows([int(word)])
        of_deliveries = [
            Match("delivery id", await self._rows([delivery.message_id]), delivery.id)
            for delivery in await self._search.deliveries([int(word)])
        ]
        return [Match("message id", rows), *of_deliveries] if rows else of_deliveries

    async def _by_control_id(self, word: str) -> list[Match]:
        if "*" in word or "?" in word:
            return []
        rows = await self._history.find(Filter(control_id=word, limit=MATCHES))
        return [Match("control id", rows)] if rows else []

    async def _by_key(self, word: str) -> list[Match]:
        named = KEY_AND_VALUE.fullmatch(word)
        if named and named[1] in self._lookout.key_names():
            rows = await self._history.find(Filter(keys=((named[1], named[2]),), limit=MATCHES))
            return [Match(f"key {named[1]}", rows)] if rows else []
        names: dict[str, list[int]] = {}
        for name, message_id in await self._search.keyed(word, MATCHES):
            names.setdefault(name, []).append(message_id)
        return [Match(f"key {name}", await self._rows(ids)) for name, ids in names.items()]

    async def _by_idempotency_key(self, word: str) -> list[Match]:
        key = IDEMPOTENCY_KEY.fullmatch(word)
        if key is None:
            return []
        traced = await self._history.trace(int(key[1]))
        rows = await self._history.deliveries([row.id for row in traced])
        meant = [row for row in rows if row.key == word]
        return [Match("idempotency key", await self._rows([row.message_id]), row.id) for row in meant]

    async def trace(self, asked: Word, _caller: Caller) -> dict[str, Any]:
        """``{"traces": [first cause, ...], "of": the message asked for}`` of all messages that a word may mean, the
        newest first."""
        matches = await self._matches(asked.word.strip())
        if not matches:
            raise ControlError(f"nothing is found by {asked.word!r}: hcsyncd find says what can be looked for")
        # A number that is a message's id means that message.
        rows = matches[0].rows if matches[0].by.endswith(" id") else [row for match in matches for row in match.rows]
        of = {row.trace: row.id for row in reversed(rows)}
        return {"traces": [{"trace": trace, "of": of[trace]} for trace in sorted(of, reverse=True)]}

    async def why(self, asked: WhyRequest, _caller: Caller) -> dict[str, Any]:
        """``{"messages": [{"message", "why"}], "deliveries": [{"delivery", "why"}]}``."""
        if asked.delivery:
            deliveries = await self._search.deliveries([asked.delivery])
            if not deliveries:
                raise ControlError(f"there is no delivery {asked.delivery}")
            messages: Sequence[MessageRow] = []
        elif asked.id:
            row = await self._history.message(asked.id)
            if row is None:
                raise ControlError(f"there is no message {asked.id}")
            messages, deliveries = [row], await self._history.deliveries([asked.id])
        else:
            received = Filter(state=MessageState.RECEIVED, newest_first=False, limit=asked.limit)
            messages = [*await self._history.find(received), *await self._dead_on_arrival(asked.limit)]
            messages, deliveries = messages[: asked.limit], await self._search.open_deliveries(asked.limit)
        of_messages = await self._explainer.messages(messages)
        of_deliveries = await self._explainer.deliveries(deliveries)
        return {
            "messages": [{"message": row, "why": of_messages[row.id]} for row in messages],
            "deliveries": [{"delivery": row, "why": of_deliveries[row.id]} for row in deliveries],
        }

    async def _dead_on_arrival(self, limit: int) -> list[MessageRow]:
        """Messages that no delivery tells of; those with dead deliveries are open by them."""
        rows = await self._history.dead(Filter(newest_first=False, limit=limit))
        return [row.message for row in rows if row.delivery is None]

    async def reindex(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        await self._indexer.begin()
        return await self.reindexing(_asked, _caller)

    async def reindexing(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        """``{"reindexing": Reindexing or null, "keys": names of declared keys}``."""
        return {"reindexing": await self._search.reindexing(), "keys": list(self._lookout.key_names())}


def _unknown(what: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    return [f"there is no {what} {name}: {suggestion(name, known)}" for name in names if name and name not in known]

"""Finds messages: by an index where one leads, else through the ids in steps, the newest or the oldest first.

Steps are bounded in rows and in bytes of bodies, so that no read holds a connection for long, bodies are never all in
memory, and a search can end at a bound and say how far it looked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import apsw
from msgspec.structs import replace

from hcsyncd.store.conditions import Conditions, having, leads
from hcsyncd.store.ports import Filter, Looked, MessageRow, Reach
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import listed_message
from hcsyncd.store.transaction import select

STEP_IDS = 20_000  # gone through by one read
STEP_BODIES = 500  # messages whose bodies are looked into, between two looks at the bound
STEP_BYTES = 4 << 20  # of bodies in memory at once; a single larger one stands alone

SELECT_MESSAGE = QUERIES["message_columns"].text
Test = Callable[[bytes], bool]


class Finder:
    """Carries out filters on one store."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def look(self, wanted: Filter, reach: Reach) -> Looked:
        """What a filter wants, as far as ``reach`` goes."""
        by_index = leads(wanted)
        if by_index and not wanted.text:
            return Looked(await self._rows(wanted))
        first, last = await self._readers.read(lambda connection: _ends(connection, wanted, spans=not by_index))
        search = _Search(wanted, reach, first, last, by_index=by_index)
        while search.goes_on:
            await self._step(search)
        return search.result()

    async def holding(self, message_ids: Sequence[int], text: str) -> set[int]:
        """Those of the messages in whose bodies the text stands."""
        found, _ = await self._readers.read(lambda connection: _holding(connection, message_ids, matcher(text)))
        return found

    async def _step(self, search: _Search) -> None:
        asked = search.next()
        rows = await self._rows(asked)
        taken = 0
        if search.wanted.text:
            ids = [row.id for row in rows]
            test = search.test
            found, taken = await self._readers.read(lambda connection: _holding(connection, ids, test))
            search.note(asked, rows, [row for row in rows if row.id in found], taken)
        else:
            search.note(asked, rows, rows, 0)

    async def _rows(self, wanted: Filter) -> list[MessageRow]:
        conditions = Conditions(self._readers.sealing)
        conditions.add_message_fields(wanted)
        conditions.add_state(wanted)
        if wanted.cause:
            conditions.add(f"(message.cause = ? OR {having('cause = ?')})", wanted.cause, wanted.cause)
        if wanted.route:
            conditions.add(having("route = ?"), wanted.route)
        if wanted.destination:
            conditions.add(having("destination = ?"), wanted.destination)
        rows = await self._readers.read(
            lambda connection: conditions.run(connection, SELECT_MESSAGE, "message.id", wanted)
        )
        return [listed_message(row) for row in rows]


class _Search:
    """How far one search has come. ``at`` is the end of the ids that are still to be looked at."""

    def __init__(self, wanted: Filter, reach: Reach, first: int, last: int, *, by_index: bool) -> None:
        self.wanted = wanted
        self.test = matcher(wanted.text)
        self._reach = reach
        self._first, self._last = first, last  # of the ids that are still to be looked at
        self._by_index = by_index
        self._found: list[MessageRow] = []
        self._messages = self._bytes = 0
        self._exhausted = False

    @property
    def goes_on(self) -> bool:
        return (
            self._first <= self._last
            and not self._exhausted
            and len(self._found) < self.wanted.limit
            and self._messages < self._reach.messages
            and self._bytes < self._reach.bytes
        )

    def next(self) -> Filter:
        """The filter of the next step."""
        wanted = self.wanted
        first, last = self._first, self._last
        if not self._by_index:
            width = min(STEP_IDS, self._reach.messages - self._messages)
            if wanted.newest_first:
                first = max(first, last - width + 1)
            else:
                last = min(last, first + width - 1)
        limit = STEP_BODIES if wanted.text else wanted.limit - len(self._found)
        return replace(wanted, first_id=first, last_id=last, after_id=0, limit=limit)

    def note(self, asked: Filter, rows: list[MessageRow], found: list[MessageRow], taken: int) -> None:
        """A step was made: it gave ``rows``, and ``found`` of them are wanted."""
        room = self.wanted.limit - len(self._found)
        self._found += found[:room]
        self._bytes += taken
        whole = len(rows) < asked.limit  # else the step ended at its last row
        end = (asked.first_id if self.wanted.newest_first else asked.last_id) if whole else rows[-1].id
        if len(found) > room:
            end = found[room - 1].id
        if self.wanted.newest_first:
            self._messages += self._last - end + 1 if not self._by_index else len(rows)
            self._last = end - 1
        else:
            self._messages += end - self._first + 1 if not self._by_index else len(rows)
            self._first = end + 1
        self._exhausted = self._by_index and whole

    def result(self) -> Looked:
        is_whole = self._exhausted or self._first > self._last
        looked_to = 0 if is_whole else self._last + 1 if self.wanted.newest_first else self._first - 1
        return Looked(self._found, looked_to, self._messages, self._bytes)


def _ends(connection: apsw.Connection, wanted: Filter, *, spans: bool) -> tuple[int, int]:
    """The range of ids that a filter is to be looked for in; the last before the first when there is nothing."""
    (first, last) = connection.execute(QUERIES["message_ends"].text).fetchone() or (1, 0)
    if spans and (wanted.since is not None or wanted.until is not None):
        span = {"since": wanted.since or 0, "until": 2**62 if wanted.until is None else wanted.until}
        (first, last) = connection.execute(QUERIES["received_span"].text, span).fetchone() or (1, 0)
    if first is None or last is None:
        return 1, 0
    first, last = max(first, wanted.first_id), min(last, wanted.last_id or last)
    if wanted.after_id and wanted.newest_first:
        last = min(last, wanted.after_id - 1)
    elif wanted.after_id:
        first = max(first, wanted.after_id + 1)
    return first, last


def _holding(connection: apsw.Connection, message_ids: Sequence[int], holds: Test) -> tuple[set[int], int]:
    """Those of the messages whose body, or that of one of their deliveries, passes the test; and the bytes read."""
    found: set[int] = set()
    read = 0
    for sizes, bodies, id_at, body_at in (
        ("body_sizes", "messages_with_bodies", 0, 7),
        ("made_sizes", "deliveries_with_bodies", 1, 10),
    ):
        wanted = [one for one in message_ids if one not in found]
        for ids in _by_bytes(select(connection, sizes, wanted)):
            for row in select(connection, bodies, ids):
                read += len(row[body_at])
                if row[id_at] not in found and holds(row[body_at]):
                    found.add(row[id_at])
    return found, read


def _by_bytes(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Ids in groups whose bodies are of bounded size together."""
    group: list[int] = []
    total = 0
    for row_id, size in sizes:
        if group and total + size > STEP_BYTES:
            yield group
            group, total = [], 0
        group.append(row_id)
        total += size
    if group:
        yield group


def matcher(text: str) -> Test:
    """Whether a text stands in a body, in UTF-8 or Latin-1 or as JSON escapes it. Case counts only beyond ASCII, where
    the text is taken as it is given, in small letters and in capitals."""
    needles = set()
    for form in {text, text.lower(), text.upper()}:
        needles.add(form.encode("utf-8", "surrogateescape").lower())
        needles.add(json.dumps(form)[1:-1].encode().lower())
        try:
            needles.add(form.encode("latin-1").lower())
        except UnicodeEncodeError:
            continue
    needles.discard(b"")
    return lambda body: any(needle in lowered for lowered in (body.lower(),) for needle in needles)

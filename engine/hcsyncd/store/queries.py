"""Named SQL, read from ``store/sql/*.sql``: ``-- name: put_message`` opens a query, its first ``;`` ends it.

A part between two ``/*each*/`` marks stands for one row (or one value of a list) and can be repeated, so that one
statement carries a whole group of calls. The text as written is the statement for one row.
"""

from __future__ import annotations

import re
from importlib import resources

from hcsyncd.errors import StoreError

MARK = "/*each*/"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Query:
    """One named statement, ready to be repeated for any number of rows."""

    __slots__ = ("_head", "_row", "_tail", "_texts", "name")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        parts = text.split(MARK)
        if len(parts) not in (1, 3):
            raise StoreError(f"query {name}: {MARK} must stand twice, around one row, or not at all")
        self._head, self._row, self._tail = (
            (parts[0], "", "") if len(parts) == 1 else (parts[0], parts[1].strip(), parts[2])
        )
        self._texts: dict[int, str] = {}

    def for_rows(self, count: int = 1) -> str:
        """The statement with its row repeated, if it has one; the same text object each time, as the cache likes it."""
        if not self._row:
            return self._head
        text = self._texts.get(count)
        if text is None:
            text = self._texts[count] = self._head + ", ".join([self._row] * count) + self._tail
        return text

    @property
    def text(self) -> str:
        """The statement for one row."""
        return self.for_rows(1)


def parse_queries(text: str, origin: str) -> dict[str, Query]:
    """Read one file of named queries."""
    pieces = _NAME.split(text)
    found: dict[str, Query] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement, end, _ = body.partition(";")
        if not end:
            raise StoreError(f"{origin}: query {name} does not end in ';'")
        if name in found:
            raise StoreError(f"{origin}: query {name} is there twice")
        found[name] = Query(name, statement.strip())
    return found


def load_queries() -> dict[str, Query]:
    """Every named query of the store."""
    queries: dict[str, Query] = {}
    for file in sorted(resources.files("hcsyncd.store").joinpath("sql").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        for name, query in parse_queries(file.read_text(encoding="utf-8"), file.name).items():
            if name in queries:
                raise StoreError(f"{file.name}: query {name} stands in another file too")
            queries[name] = query
    return queries


QUERIES = load_queries()

"""Named SQL, read from ``store/sql/*.sql``: ``-- name: put_message`` opens a query, its first ``;`` ends it.

A part between two ``/*each*/`` marks stands for one row (or one value of a list) and can be repeated, so that one
statement carries a whole group of calls. The text as written is the statement for one row.

What may be sealed at rest (`hcsyncd.store.sealing`) is marked where it stands: ``seal(what, ?)`` in a row is a value
that `Transaction.insert` seals before it is bound; ``unseal(what, column, row)`` for bytes and ``unseal(what, column)``
for texts open a value. A clear value costs no call: SQLite itself sees by its head that there is nothing to open.
"""

from __future__ import annotations

import re
from importlib import resources

from hcsyncd.errors import StoreError

MARK = "/*each*/"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_SEAL = re.compile(r"\?|seal\((?P<what>\w+), \?\)")
_UNSEAL = re.compile(r"unseal\((?P<what>\w+), (?P<value>[\w.]+)(?:, (?P<row>[\w.]+))?\)")
# The first four bytes, the first seven characters: see the marks of hcsyncd.store.sealing.
_SEALED_BYTES = (
    "CASE WHEN substr({value}, 1, 4) = x'f5686373' THEN unsealed_bytes({value}, '{what}', {row}) ELSE {value} END"
)
_SEALED_TEXT = "CASE WHEN substr({value}, 1, 7) = 'sealed:' THEN unsealed_text({value}, '{what}') ELSE {value} END"


class Query:
    """One named statement, ready to be repeated for any number of rows."""

    __slots__ = ("_head", "_row", "_tail", "_texts", "name", "seals")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        parts = _UNSEAL.sub(_opening, text).split(MARK)
        if len(parts) not in (1, 3):
            raise StoreError(f"query {name}: {MARK} must stand twice, around one row, or not at all")
        self._head, self._row, self._tail = (
            (parts[0], "", "") if len(parts) == 1 else (parts[0], parts[1].strip(), parts[2])
        )
        self.seals = tuple(
            (place, mark["what"]) for place, mark in enumerate(_SEAL.finditer(self._row)) if mark["what"]
        )
        """The places in a row of what is sealed, and as what."""
        self._row = _SEAL.sub("?", self._row)
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


def _opening(mark: re.Match[str]) -> str:
    return (_SEALED_BYTES if mark["row"] else _SEALED_TEXT).format(**mark.groupdict())


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

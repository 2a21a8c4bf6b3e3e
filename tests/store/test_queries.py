from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.queries import QUERIES, Query, parse_queries

STORE = Path(__file__).parents[2] / "engine" / "hcsyncd" / "store"


def test_a_file_of_queries_is_read_by_name() -> None:
    text = "-- about\n\n-- name: first\nSELECT 1;\n\n-- why\n-- name: second\nSELECT\n    2;\n-- the end\n"
    found = parse_queries(text, "some.sql")
    assert {name: query.text for name, query in found.items()} == {"first": "SELECT 1", "second": "SELECT\n    2"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: first\nSELECT 1\n", "some.sql: query first does not end"),
        ("-- name: first\nSELECT 1;\n-- name: first\nSELECT 2;\n", "some.sql: query first is there twice"),
        ("-- name: first\nSELECT /*each*/ 1;\n", "query first: .* twice"),
    ],
)
def test_a_faulty_file_is_named(text: str, complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint):
        parse_queries(text, "some.sql")


def test_the_marked_part_is_repeated() -> None:
    query = Query("put", "INSERT INTO t VALUES /*each*/ (?, ?) /*each*/ RETURNING 1")
    assert query.text == "INSERT INTO t VALUES (?, ?) RETURNING 1"
    assert query.for_rows(3) == "INSERT INTO t VALUES (?, ?), (?, ?), (?, ?) RETURNING 1"
    assert query.for_rows(3) is query.for_rows(3), "one text for the statement cache"


def _names_used() -> Iterator[str]:
    for file in STORE.glob("*.py"):
        if file.name != "queries.py":
            yield from re.findall(r'"([a-z_]+)"', file.read_text())


def test_every_query_is_used() -> None:
    assert set(QUERIES) - set(_names_used()) == set()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.schema import Migration, load_migrations, migrate

FIRST = Migration(1, "first", "CREATE TABLE one (a); INSERT INTO one VALUES (1);")
SECOND = Migration(2, "second", "ALTER TABLE one ADD COLUMN b; UPDATE one SET b = 2;")
BROKEN = Migration(2, "broken", "CREATE TABLE two (a); INSERT INTO nowhere VALUES (1);")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = apsw.Connection(str(tmp_path / "store.db"))
    yield opened
    opened.close()


def records(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return list(connection.execute("SELECT number, name, applied_at FROM migration ORDER BY number"))


def tables(connection: apsw.Connection) -> set[object]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_the_shipped_migrations_make_a_store(connection: apsw.Connection) -> None:
    shipped = load_migrations()
    migrate(connection, shipped, 7)
    assert records(connection) == [(one.number, one.name, 7) for one in shipped]
    assert {"message", "body", "delivery", "attempt", "arrival"} <= tables(connection)
    migrate(connection, shipped, 8)
    assert records(connection) == [(one.number, one.name, 7) for one in shipped], "each is applied once"


def test_only_what_is_missing_is_applied(connection: apsw.Connection) -> None:
    migrate(connection, (FIRST,), 7)
    migrate(connection, (FIRST, SECOND), 8)
    assert records(connection) == [(1, "first", 7), (2, "second", 8)]
    assert list(connection.execute("SELECT a, b FROM one")) == [(1, 2)]


def test_a_failed_migration_leaves_the_form_before_it(connection: apsw.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="nowhere"):
        migrate(connection, (FIRST, BROKEN), 7)
    assert records(connection) == [(1, "first", 7)]
    assert "two" not in tables(connection)
    migrate(connection, (FIRST, SECOND), 8)
    assert records(connection) == [(1, "first", 7), (2, "second", 8)]


def test_a_store_from_a_newer_version_is_refused(connection: apsw.Connection) -> None:
    migrate(connection, (FIRST, SECOND), 7)
    with pytest.raises(StoreError, match=r"newer hcsyncd \(its form is number 2, this version knows 1\)"):
        migrate(connection, (FIRST,), 8)
    assert records(connection) == [(1, "first", 7), (2, "second", 7)]


@pytest.mark.parametrize("script", ["CREATE TABLE theirs (a)", "PRAGMA application_id = 42"])
def test_another_programs_database_is_left_alone(connection: apsw.Connection, script: str) -> None:
    connection.execute(script)
    before = tables(connection)
    with pytest.raises(StoreError, match="another program's database"):
        migrate(connection, (FIRST,), 7)
    assert tables(connection) == before

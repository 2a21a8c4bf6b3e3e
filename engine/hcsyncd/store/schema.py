"""Numbered migrations, each run in one transaction with its record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import resources

import apsw

from hcsyncd.errors import StoreError

APPLICATION_ID = 0x68637379  # "hcsy": `file` and other programs can tell whose file it is

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the store's form."""

    number: int
    name: str
    script: str = field(repr=False)


def load_migrations() -> tuple[Migration, ...]:
    """The migrations that this version of hcsyncd knows, by number, without a gap."""
    files = resources.files("hcsyncd.store").joinpath("sql", "migrations").iterdir()
    found = sorted(
        (
            Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
            for file in files
            if (match := _FILE.match(file.name))
        ),
        key=lambda migration: migration.number,
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError("this installation of hcsyncd is not whole (store migrations are missing): install it again")
    return tuple(found)


def refuse_unusable(connection: apsw.Connection, migrations: tuple[Migration, ...]) -> int:
    """Look whose file it is, and change nothing; the number of the last migration that was applied, 0 for a new store.

    Raises StoreError for a store from a newer version, and for a file that another program made."""
    application_id = connection.pragma("application_id")
    if application_id != APPLICATION_ID:
        if application_id != 0 or connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreError("the file is another program's database, not an hcsyncd store: name another store folder")
        return 0
    number = connection.execute("SELECT max(number) FROM migration").get
    applied = number if isinstance(number, int) else 0
    known = migrations[-1].number
    if applied > known:
        raise StoreError(
            f"the store was made by a newer hcsyncd (its form is number {applied}, this version knows {known}): "
            f"run that version, or name another store folder"
        )
    return applied


def migrate(connection: apsw.Connection, migrations: tuple[Migration, ...], now: int) -> None:
    """Bring the store to the form that this version knows. Raises StoreError as `refuse_unusable` does."""
    applied = refuse_unusable(connection, migrations)
    if connection.pragma("application_id") != APPLICATION_ID:
        _found(connection)
    for migration in migrations[applied:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(migration.script)
            connection.execute(
                "INSERT INTO migration (number, name, applied_at) VALUES (?, ?, ?)",
                (migration.number, migration.name, now),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _found(connection: apsw.Connection) -> None:
    """Make an empty file a store of ours, with no migration applied yet."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
    )
    connection.pragma("application_id", APPLICATION_ID)
    connection.execute("COMMIT")

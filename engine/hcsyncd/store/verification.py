"""Whether a store is whole: its file, its references, its counts, its seals, its audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.record import Record
from hcsyncd.store.audit import verify_audit
from hcsyncd.store.audit_chain import NO_KEYS, ChainKeys
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.resealing import PARTS, Part, last_rows
from hcsyncd.store.sealing import BYTES_MARK, TEXT_MARK, Sealing

SAMPLE = 500  # rows of each part, spread over it
PAGE_ROWS = 64
MAX_ERRORS = 20  # of SQLite's own check, of values that do not open

REFERENCES: Mapping[str, str] = {
    "messages_without_body": "messages have no body, and retention did not remove it",
    "deliveries_without_body": "deliveries have no body, and retention did not remove it",
    "deliveries_without_message": "deliveries belong to no message",
    "attempts_without_delivery": "attempts belong to no delivery",
    "arrivals_without_message": "arrival keys belong to no message",
    "unknown_states": "messages or deliveries are in a state that there is not",
    "messages_that_stand_wrong": "messages are in a state that their deliveries do not bear out",
}
"""Queries that count rows which should not be, and what those are."""


class Problem(Record, frozen=True):
    """Something in the store that is not right. ``code`` is stable: file, reference, counts, seal, audit."""

    code: str
    text: str


class Balance(Record, frozen=True):
    """Every message is in exactly one place."""

    messages: int
    delivered: int
    filtered: int  # or wanted by no route
    dead: int  # or settled by a person
    open: int  # not yet routed, or on its way, parked or unsure


class Verification(Record, frozen=True):
    """What a verification found. The store is whole when there are no problems."""

    balance: Balance
    opened: int  # sealed values that were opened
    sealed: bool
    complete: bool  # every sealed value was tried, and not a sample
    problems: tuple[Problem, ...]


def verify(connection: apsw.Connection, sealing: Sealing, *, every_value: bool = False) -> Verification:
    """Look at all that can be looked at, as the store stands at one moment. Blocks, for long on a large store."""
    problems = [Problem("file", text) for text in _file_errors(connection)]
    opened = 0
    balance = Balance(0, 0, 0, 0, 0)
    try:
        problems += _broken_references(connection)
        row: Any = connection.execute(QUERIES["balance"].text).fetchone()
        messages, *parts = row
        balance = Balance(messages, *parts)
        if messages != sum(parts):
            problems.append(Problem("counts", f"{messages} messages came in, and {sum(parts)} are accounted for"))
        problems += [Problem("audit", finding.text) for finding in verify_audit(connection, (), chain_keys(sealing))]
        for name, part in PARTS.items():
            tried, failures = _open_values(connection, sealing, name, part, every_value=every_value)
            opened += tried
            problems += failures
    except apsw.CorruptError as error:
        problems.append(Problem("file", f"the file cannot be read through: {error}"))
    except UnicodeDecodeError:
        problems.append(Problem("file", "the file cannot be read through: a text in it is no UTF-8"))
    return Verification(balance, opened, sealing.is_on, every_value, tuple(problems))


def chain_keys(sealing: Sealing) -> ChainKeys:
    """What the entries of a store's audit log are hashed under."""
    key = sealing.keyring.lasting("audit")
    return ChainKeys("store", {"store": key}) if key else NO_KEYS


def _file_errors(connection: apsw.Connection) -> Iterator[str]:
    try:
        for (found,) in connection.execute(f"PRAGMA integrity_check({MAX_ERRORS})"):
            if found != "ok":
                yield str(found).splitlines()[-1]
    except apsw.CorruptError as error:
        yield f"the file cannot be read through: {error}"


def _broken_references(connection: apsw.Connection) -> Iterator[Problem]:
    for name, what in REFERENCES.items():
        ((count, first),) = connection.execute(QUERIES[name].text).fetchall()
        if count:
            yield Problem("reference", f"{count} {what}{f', the first is {first}' if first else ''}")


def _open_values(
    connection: apsw.Connection, sealing: Sealing, name: str, part: Part, *, every_value: bool
) -> tuple[int, list[Problem]]:
    """Open the sealed values of a part, all or a sample: how many were tried, and which did not open."""
    step = 1 if every_value else max(last_rows(connection)[name] // SAMPLE, 1)
    tried = after_id = 0
    problems: list[Problem] = []
    # One row behind each step, or all of them in pages.
    while rows := _rows_behind(connection, part, after_id, PAGE_ROWS if step == 1 else 1):
        after_id = rows[-1][0] if step == 1 else max(rows[0][0], after_id + step)
        for row_id, bound_to, *values in rows:
            for what, value in zip(part.kinds, values, strict=True):
                if not value or not value.startswith(BYTES_MARK if isinstance(value, bytes) else TEXT_MARK):
                    continue
                tried += 1
                try:
                    sealing.open_value(value, what, bound_to)
                except StoreError:
                    if len(problems) < MAX_ERRORS:
                        problems.append(Problem("seal", f"the {what} of {name} {row_id} does not open"))
    return tried, problems


def _rows_behind(connection: apsw.Connection, part: Part, after_id: int, limit: int) -> list[Any]:
    return connection.execute(QUERIES[part.read].text, (after_id, limit)).fetchall()

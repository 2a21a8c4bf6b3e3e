"""How what leaves differs from what a case expects, in words for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from hcsyncd.config.cases import Expectation
from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Format

MAX_SHOWN = 160  # characters of one value
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Leaving:
    """One envelope on its way to a destination, without what only the store could give it."""

    to: str
    body: bytes = field(repr=False)


def differences(wanted: Expectation, leaving: Leaving, its_format: Format) -> Iterator[str]:
    """Everything in which an envelope is not what was expected; nothing when it is."""
    body = leaving.body
    if wanted.body is not None and body != wanted.body:
        yield f"{wanted.to}: {_first_difference(wanted.body, body)}"
    if wanted.checks_json:
        try:
            found = json.loads(body)
        except ValueError:
            yield f"{wanted.to}: the body is not JSON: {shown(body)}"
        else:
            yield from (f"{wanted.to}: {text}" for text in json_differences(wanted.json, found))
    for text in wanted.contains:
        if text.encode() not in body:
            yield f"{wanted.to}: the body does not hold {text!r}: {shown(body)}"
    if wanted.fields:
        yield from (f"{wanted.to}: {text}" for text in _field_differences(wanted, body, its_format))


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One value that two bodies do not share. ``path`` is in the terms of their format, "" where the bodies
    differ in their writing alone; ``was`` and ``now`` None: nothing is there."""

    path: str
    was: str | None = field(repr=False)
    now: str | None = field(repr=False)


def field_differences(was: bytes, now: bytes, its_format: Format) -> Iterator[FieldDifference]:
    """Where two bodies of one format differ, value by value in the order of the first, or, where one of them cannot be
    read, line by line."""
    if was == now:
        return
    try:
        before, after = dict(its_format.parse(was).entries()), dict(its_format.parse(now).entries())
    except FormatError:
        before, after = _by_line(was), _by_line(now)
    paths = [path for path in dict.fromkeys([*before, *after]) if before.get(path) != after.get(path)]
    if not paths:  # blanks, line ends, the order of keys
        yield FieldDifference("", None, None)
    yield from (FieldDifference(path, before.get(path), after.get(path)) for path in paths)


def _by_line(body: bytes) -> dict[str, str]:
    return {f"line {number}": line.decode("utf-8", "replace") for number, line in enumerate(_lines(body), 1)}


def json_differences(wanted: Any, found: Any, path: str = "$") -> Iterator[str]:
    """Where two JSON values differ, by path: ``$.location.ward is 'W1', expected 'W2'``."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            yield from json_differences(wanted.get(key, _NOTHING), found.get(key, _NOTHING), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list):
        for number, (one, other) in enumerate(zip_longest(wanted, found, fillvalue=_NOTHING)):
            yield from json_differences(one, other, f"{path}[{number}]")
    elif found is _NOTHING:
        yield f"{path} is missing, expected {shown(wanted)}"
    elif wanted is _NOTHING:
        yield f"{path} is {shown(found)}, not expected"
    elif wanted != found or isinstance(wanted, bool) != isinstance(found, bool):  # in Python, true equals 1
        yield f"{path} is {shown(found)}, expected {shown(wanted)}"


def _field_differences(wanted: Expectation, body: bytes, its_format: Format) -> Iterator[str]:
    try:
        document = its_format.parse(body)
        for path, value in wanted.fields.items():
            found = document.get(path)
            if (found or None) != (value or None):
                yield f"{path} is {_or_nothing(found)}, expected {_or_nothing(value)}"
    except FormatError as error:
        yield f"the fields cannot be read: {error}"


def _first_difference(wanted: bytes, found: bytes) -> str:
    lines = zip_longest(_lines(wanted), _lines(found))
    for number, (one, other) in enumerate(lines, 1):
        if one != other:
            return f"line {number} of the body is {_or_nothing(other)}, expected {_or_nothing(one)}"
    return f"the body's line ends differ: {shown(found)}, expected {shown(wanted)}"


def _lines(body: bytes) -> list[bytes]:
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _or_nothing(value: object) -> str:
    return shown(value) if value else "nothing"


def shown(value: object) -> str:
    """A value for a person: quoted, and cut when it is long."""
    text = repr(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"

"""JSON (RFC 8259), addressed by paths: ``order.lines[0].item``, ``lines[*].item``, ``["a key with.dots"].x``.

Numbers keep their digits: 1.10 is 1.10 when it is read, and when the document is written again.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from hcsyncd.errors import FormatError
from hcsyncd.formats.body import UTF_8_MARK, BodyFormat, BodyOptions
from hcsyncd.formats.format import FormatKind

DECODER = msgspec.json.Decoder(float_hook=Decimal)
ENCODER = msgspec.json.Encoder(decimal_format="number")
EVERY = "*"
STEP = re.compile(r'(?:^|\.)([^.\[\]"]+)|\[(?:([0-9]+)|(\*)|"((?:[^"\\]|\\.)*)")\]')
_PLAIN_KEY = re.compile(r'[^.\[\]"]+')
AT = re.compile(r"byte ([0-9]+)")

Step = str | int  # a key, an index counted from 0; EVERY in a tuple of its own
Steps = tuple[Step | tuple[str], ...]


class JsonDocument:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_root")

    def __init__(self, body: bytes) -> None:
        """Raises FormatError (``bad-json``)."""
        mark = len(UTF_8_MARK) if body.startswith(UTF_8_MARK) else 0
        try:
            self._root: Any = DECODER.decode(body[mark:])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            found = AT.search(str(error))
            raise FormatError(
                "bad-json", f"not JSON: {_reason(error)}", mark + int(found[1]) if found else 0
            ) from error
        self._body: bytes | None = body  # None once something was changed

    def get(self, path: str) -> str | None:
        """The first value at ``path`` as text: true, false and numbers as JSON writes them, an object or a list as
        JSON. None when nothing or null is there."""
        values = self.all(path)
        return values[0] if values else None

    def __getitem__(self, path: str) -> str:
        return self.get(path) or ""

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def all(self, path: str) -> list[str]:
        """The values at ``path`` as text, over every ``[*]`` in it."""
        return [_text(value) for value in _reach([self._root], parse_json_path(path)) if value is not None]

    def entries(self) -> Iterator[tuple[str, str]]:
        """Every text, number, true and false, and every empty object and list, with its path."""
        return _entries(self._root, "")

    def value(self, path: str = "") -> Any:
        """The first value at ``path`` as Python has it (numbers with a fraction as Decimal), None when nothing is
        there; without a path, everything. A copy: changing it changes no document."""
        found = _reach([self._root], parse_json_path(path) if path else ())
        return copy.deepcopy(found[0]) if found else None

    def set(self, path: str, value: Any) -> None:
        """Write anything that JSON has at ``path``. Objects on the way are made where they are missing; an index may
        be one past the end of its list."""
        steps = parse_json_path(path)
        if any(isinstance(step, tuple) for step in steps):
            raise FormatError("bad-path", f"{path}: [*] can be read, not written; name one index")
        holder: Any = [self._root]
        place: Step = 0
        for step in steps:
            assert not isinstance(step, tuple)
            holder, place = _enter(holder, place, step, path), step
        if isinstance(holder, list) and place == len(holder):
            holder.append(value)
        else:
            holder[place] = value
        self._body = None

    def __setitem__(self, path: str, value: Any) -> None:
        self.set(path, value)

    def delete(self, path: str) -> None:
        """Take the first value at ``path`` out of its object or list."""
        *above, last = parse_json_path(path)
        for holder in _reach([self._root], tuple(above)):
            if not isinstance(last, tuple) and _reach([holder], (last,)):
                del holder[last]
                self._body = None
                return

    __delitem__ = delete

    def to_bytes(self) -> bytes:
        """As it was, or, when something was changed, as JSON without blanks. Raises FormatError
        (``not-encodable``)."""
        if self._body is not None:
            return self._body
        try:
            return ENCODER.encode(self._root)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise FormatError("not-encodable", f"the document holds what JSON cannot write: {error}") from error


@lru_cache(maxsize=4096)
def parse_json_path(path: str) -> Steps:
    """Read a path. Raises FormatError (``bad-path``)."""
    steps: list[Step | tuple[str]] = []
    position = 0
    while position < len(path):
        found = STEP.match(path, position)
        if found is None:
            break
        key, index, every, quoted = found.groups()
        if every:
            steps.append((EVERY,))
        elif index:
            steps.append(int(index))
        else:
            steps.append(key if key is not None else re.sub(r"\\(.)", r"\1", quoted))
        position = found.end()
    if not steps or position < len(path):
        text = f"{path!r} is not a path into JSON such as order.lines[0].item (stopped at character {position + 1})"
        raise FormatError("bad-path", text)
    return tuple(steps)


def _entries(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            step = key if _PLAIN_KEY.fullmatch(key) else None
            quoted = re.sub(r'(["\\])', r"\\\1", key)
            yield from _entries(part, f'{path}["{quoted}"]' if step is None else f"{path}.{step}" if path else step)
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from _entries(part, f"{path}[{number}]")
    elif value is not None and value != "":
        yield path, _text(value)


def _reach(values: list[Any], steps: Steps) -> list[Any]:
    """What ``steps`` lead to from ``values``."""
    for step in steps:
        if isinstance(step, tuple):
            values = [part for value in values if isinstance(value, list) for part in value]
        elif isinstance(step, int):
            values = [value[step] for value in values if isinstance(value, list) and step < len(value)]
        else:
            values = [value[step] for value in values if isinstance(value, dict) and step in value]
    return values


def _enter(holder: Any, place: Step, step: Step, path: str) -> Any:
    """What is at ``place`` of ``holder``, fit to be indexed by ``step``; made when it is not there."""
    made: Any = [] if isinstance(step, int) else {}
    if isinstance(holder, list) and place == len(holder):
        holder.append(made)
    elif isinstance(holder, dict):
        holder.setdefault(place, made)
    inside = holder[place]
    if inside is None:
        inside = holder[place] = made
    if not isinstance(inside, type(made)):
        kind = "a list" if isinstance(step, int) else "an object"
        raise FormatError("bad-path", f"{path} cannot be set: {step!r} needs {kind}, and something else is there")
    if isinstance(inside, list) and isinstance(step, int) and step > len(inside):
        raise FormatError(
            "bad-path", f"{path} cannot be set: the list has {len(inside)} entries, the next is [{len(inside)}]"
        )
    return inside


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ENCODER.encode(value).decode()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return AT.sub("", str(error)).replace("JSON is malformed: ", "").rstrip("( )")


class JsonOptions(BodyOptions):
    """Options of the format `json`."""

    @classmethod
    def check_path(cls, path: str) -> None:
        parse_json_path(path)


class JsonFormat(BodyFormat):
    """One JSON text."""

    name = "json"
    content_type = "application/json"

    def parse(self, body: bytes) -> JsonDocument:
        return JsonDocument(body)


FORMAT = FormatKind("json", "JSON, one text a message", JsonOptions, JsonFormat)

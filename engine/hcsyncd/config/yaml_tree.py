"""YAML text as a tree whose every key and value knows its line and column.

What is read is the core schema of YAML 1.2 (§10.3.2) and nothing beside it: one document, mappings, lists and scalars.
Refused, each with a hint: duplicate keys; plain scalars that YAML 1.1 readers take for something else (``yes``,
``on``, ``12:30``, ``0123``, ``1_000``); aliases, merge keys and tags, since an entry must be readable where it stands
and a tree without aliases cannot blow up. A plain ``2026-01-31`` is a text, as YAML 1.2 says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from hcsyncd.config.finding import Place, Report

MAX_DEPTH = 32
MAX_DIGITS = 20  # longer ones are codes, not numbers, and cost quadratic time to convert

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. ``text`` is what stands in the file, without quotes."""

    place: Place
    value: Value = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value`` of a table."""

    key: str
    key_place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the file."""

    place: Place
    entries: dict[str, Entry]

    def without(self, *keys: str) -> Table:
        return Table(self.place, {key: entry for key, entry in self.entries.items() if key not in keys})


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    place: Place
    items: tuple[Node, ...]


Node = Scalar | Table | Listing

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_CONSTANTS: dict[str, Value] = {"": None, "~": None}
_CONSTANTS |= dict.fromkeys(("null", "Null", "NULL"))
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True)
_CONSTANTS |= dict.fromkeys(("false", "False", "FALSE"), False)

_TRAPS = (
    ("a yes to some readers of YAML and a text to others", "true", "y|yes|on|Y|Yes|On|YES|ON"),
    ("a no to some readers of YAML and a text to others", "false", "n|no|off|N|No|Off|NO|OFF"),
    ("an octal number to some readers of YAML", "", "[-+]?0[0-9_]+"),
    ("a number to base 60 to some readers of YAML", "", r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
    ("a number to some readers of YAML", "", r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"),
    ("a number to some readers of YAML", "", "[-+]?0x[0-9a-fA-F]*_[0-9a-fA-F_]*"),
    ("a binary number to some readers of YAML", "", "[-+]?0b[01_]+"),
)
_TRAP_PATTERNS = tuple((re.compile(pattern), meaning, replacement) for meaning, replacement, pattern in _TRAPS)

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2 §5.1


def read_yaml(text: str, file: str, report: Report) -> Node | None:
    """The tree of ``text``; an empty file is the null scalar. None when it is no YAML: see the report."""
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        report.error(
            _at(file, text, forbidden.start()),
            "yaml-syntax",
            "a control character",
            "delete it, or write an escape in double quotes",
        )
        return None
    try:
        return _Builder(file, report).build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, text, file, report)
    except yaml.YAMLError as error:
        report.error(Place(file), "yaml-syntax", str(error).splitlines()[0])
    return None


def _at(file: str, text: str, index: int) -> Place:
    before = text[:index]
    return Place(file, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


_HINTS = (
    ("mapping values are not allowed", "quote the value if it holds ': ', or look at the indentation"),
    ("unexpected end of stream", "a quote is not closed"),
    ("expected ',' or '}'", "quote values with { } , [ ] between braces, ${...} too"),
    ("expected ',' or ']'", "quote values with { } , [ ] between brackets, ${...} too"),
    ("expected '-' indicator", "look at the indentation: list items start in one column"),
    ("expected <block end>", "look at the indentation: keys of one mapping start in one column"),
    ("expected key", "look at the indentation: keys of one mapping start in one column"),
    ("expected ':'", "a key needs ': ' behind it, and its value on the same line or indented below"),
    ("unknown escape", "use single quotes, or write the backslash twice"),
    ("cannot start any token", "quote values that start with @ ` or %"),
)


def _report_syntax(error: yaml.MarkedYAMLError, text: str, file: str, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    problem = error.problem or "not YAML"
    if "\t" in line[: place.column + 1] and not line[: place.column].strip():
        report.error(place, "yaml-syntax", "a tab in the indentation", "indent with spaces")
        return
    opened = (
        f", opened on line {error.context_mark.line + 1}"
        if error.context_mark and error.context_mark.line + 1 < place.line
        else ""
    )
    hint = next((advice for word, advice in _HINTS if word in problem), "")
    report.error(place, "yaml-syntax", f"{problem}{opened}", hint)


@dataclass(slots=True)
class _Open:
    """A collection whose end was not met yet. ``table`` None: a list."""

    place: Place
    table: dict[str, Entry] | None
    items: list[Node] = field(default_factory=list)
    key: tuple[str, Place] | None = None
    awaits_value: bool = False


class _Builder:
    """Turns the parser's events into nodes, without recursion."""

    def __init__(self, file: str, report: Report) -> None:
        self._file = file
        self._report = report
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._documents = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            place = Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)
            match event:
                case yaml.DocumentStartEvent():
                    self._documents += 1
                    if self._documents > 1:
                        self._report.error(
                            place, "yaml-syntax", "a second document", "one file, one document: delete the '---'"
                        )
                        return None
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._check_tag(event, place)
                    if len(self._open) >= MAX_DEPTH:
                        self._report.error(place, "yaml-syntax", f"nested more than {MAX_DEPTH} deep")
                        return None
                    is_table = isinstance(event, yaml.MappingStartEvent)
                    self._open.append(_Open(place, {} if is_table else None))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    done = self._open.pop()
                    self._add(
                        Listing(done.place, tuple(done.items)) if done.table is None else Table(done.place, done.table)
                    )
                case yaml.ScalarEvent():
                    self._check_tag(event, place)
                    self._add(self._scalar(event, place))
                case yaml.AliasEvent():
                    self._alias(place)
                case _:
                    pass
        return self._root or Scalar(Place(self._file), None, "")

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if parent.table is None:
            parent.items.append(node)
        elif self._awaits_key:
            parent.key, parent.awaits_value = self._key(node), True
        else:
            if parent.key is not None:
                self._put(parent.table, *parent.key, node)
            parent.awaits_value = False

    def _key(self, node: Node) -> tuple[str, Place] | None:
        """The key's text; None when there is none that can be used, and the entry is left out."""
        if not isinstance(node, Scalar) or node.text == "":
            self._report.error(node.place, "yaml-key", "a key must be a text")
            return None
        if node.text == "<<":
            self._report.error(node.place, "yaml-alias", "merge keys (<<) are not used here", "write the entries out")
            return None
        return node.text, node.place

    def _put(self, table: dict[str, Entry], key: str, place: Place, node: Node) -> None:
        first = table.get(key)
        if first is not None:
            self._report.error(
                place, "duplicate-key", f"{key} stands here twice", f"first on line {first.key_place.line}"
            )
            return
        table[key] = Entry(key, place, node)

    def _alias(self, place: Place) -> None:
        parent = self._open[-1] if self._open else None
        merging = parent is not None and parent.awaits_value and parent.key is None
        if not merging:  # a merge key was reported already
            self._report.fault(
                place, "yaml-alias", "aliases (*name) are not used here", "write the value out, or quote it"
            )
        self._add(Scalar(place, None, "*"))

    def _check_tag(self, event: Any, place: Place) -> None:
        if event.tag is not None:
            self._report.fault(
                place, "yaml-tag", "tags (!name) are not used here", "delete the tag, or quote the value"
            )

    @property
    def _awaits_key(self) -> bool:
        return bool(self._open) and self._open[-1].table is not None and not self._open[-1].awaits_value

    def _scalar(self, event: Any, place: Place) -> Scalar:
        text: str = event.value
        if event.style:  # quoted or a block: a text, whatever it looks like
            return Scalar(place, text, text)
        for pattern, meaning, replacement in _TRAP_PATTERNS:
            if pattern.fullmatch(text):
                shown = text if replacement else "this"  # a number may be a secret
                instead = f"write {replacement}, or quote it" if replacement and not self._awaits_key else "quote it"
                self._report.fault(place, "yaml-trap", f"{shown} is {meaning}", instead)
                return Scalar(place, text, text)
        return Scalar(place, core_value(text), text)


def core_value(text: str) -> Value:
    """What a plain scalar means in the core schema of YAML 1.2 (§10.3.2)."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.lower() in _SPECIAL_FLOATS:
        return float(_SPECIAL_FLOATS[text.lower()])
    if len(text) > MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text

"""What is wrong with a site, as records with a place: all of them at once, never the first alone.

A finding renders as ``channels/orders_in.yaml:6:5 error unknown-option: tiemout_secs (did you mean timeout_secs?)``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "address-taken": "Two listeners of the site want the same address. Give one of them another port.",
        "bad-name": "A file's name is no name for a channel or a table: lower-case letters, digits and `_`.",
        "bad-path": "A path cannot be read in the format of the messages it is meant for.",
        "bad-reference": "A `${...}` is written wrongly. To mean the characters themselves, write `$${`.",
        "bad-table": "A lookup table cannot be read.",
        "bad-value": "An option has a value it cannot take; the finding says what it can.",
        "duplicate-code": "A lookup table has two entries for one code.",
        "duplicate-entry": "A list names the same channel twice.",
        "duplicate-key": "A mapping has the same key twice.",
        "duplicate-name": "Two routes, two tables or two cases have the same name.",
        "empty-file": "A file says nothing. Fill it or delete it.",
        "exposed-secret": "Others can read a secret: its file is open to every user, or the option is shown in logs.",
        "ignored-file": "A file is not read, because its name does not end as it should.",
        "ineffective-option": "An option does nothing here; it belongs to the other kind of channel.",
        "ineffective-retention": "Rows are to go before the bodies that they tell of; they stay as long as those.",
        "literal-secret": "A secret stands in the YAML file. Write `${secret:NAME}` and keep it in a file of its own.",
        "missing-file": "A file or folder that a site needs is not there.",
        "missing-option": "A required option is not given.",
        "not-utf8": "A file is not UTF-8 text.",
        "two-endpoints": "A channel is a source or a destination, never both.",
        "unknown-channel": "No file of `channels/` has this name.",
        "unknown-key": "A condition's key is neither one of the peeked keys nor a path.",
        "unknown-kind": "There is no connector or format of this kind.",
        "unknown-option": "There is no option of this name here.",
        "unknown-route": "`routes.yaml` has no route of this name.",
        "unreadable": "A file cannot be read.",
        "unresolved-reference": "A `${...}` names an environment variable or a secret that is not there.",
        "unused-channel": "No route uses the channel.",
        "wrong-direction": "A route comes from a destination or goes to a source.",
        "yaml-alias": "Anchors, aliases and merge keys are not used here: every entry says all of itself.",
        "yaml-key": "A mapping's key is a list, a mapping or nothing; it must be a text.",
        "yaml-syntax": "The file is not YAML.",
        "yaml-tag": "Tags (`!x`) are not used here; the options say what type they have.",
        "yaml-trap": "YAML 1.1 and 1.2 read the value differently. Quote it, or write what is meant.",
    }
)
"""What every code of this room means, for the reference documentation."""

PLUGIN_CODES: Mapping[str, str] = MappingProxyType(
    {
        "plugin": "The transforms cannot be loaded as a whole.",
        "plugin-exit": "A transform file ends the process that imports it.",
        "plugin-import": "A transform file fails when it is imported.",
        "plugin-signature": "A filter or transform cannot be called as `function(document, context)`.",
        "plugin-syntax": "A transform file is not Python.",
        "plugin-timeout": "Importing a transform file takes too long.",
        "unknown-function": "A route names a filter or transform that no file has.",
    }
)
"""What the codes mean that the loading of the transforms adds to them."""


class Level(StrEnum):
    """Whether the site can be used in spite of a finding."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written: a file relative to the site with ``/``, line and column counted from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where it is, and the likely fix. Holds no secret and no resolved environment value."""

    file: str
    line: int
    column: int
    level: Level
    code: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column} {self.level} {self.code}: {self.text}{hint}"

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """Findings are listed by file, line and column."""
        return (self.file, self.line, self.column, self.code, self.text)

    def as_json(self) -> dict[str, str | int]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "level": str(self.level),
            "code": self.code,
            "text": self.text,
            "hint": self.hint,
        }


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` was most likely meant to be, "" when none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: the closest one, or all there are."""
    names = list(known)
    near = closest(name, names)
    if near:
        return f"did you mean {near}?"
    return f"known: {', '.join(sorted(names))}" if names else ""


class Report:
    """Collects the findings of one loading. A value that was found faulty once is not judged again, so that one mistake
    makes one finding."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._faulted: set[Place] = set()
        self._hidden: set[str] = set()

    def error(self, place: Place, code: str, text: str, hint: str = "") -> None:
        self._add(Level.ERROR, place, code, text, hint)

    def warn(self, place: Place, code: str, text: str, hint: str = "") -> None:
        self._add(Level.WARNING, place, code, text, hint)

    def fault(self, place: Place, code: str, text: str, hint: str = "") -> None:
        """An error of the value at ``place``; nothing when that value is known to be faulty."""
        if place not in self._faulted:
            self._faulted.add(place)
            self.error(place, code, text, hint)

    def is_faulted(self, place: Place) -> bool:
        return place in self._faulted

    def hide(self, secret: str) -> None:
        """Keep ``secret`` out of every finding that is made from now on."""
        if len(secret) > 2:  # shorter ones would only tear holes into ordinary words
            self._hidden.add(secret)

    @property
    def has_errors(self) -> bool:
        return any(finding.level is Level.ERROR for finding in self._findings)

    def has_errors_in(self, file: str) -> bool:
        """Whether there is an error in one file, by its path in the site."""
        return any(finding.level is Level.ERROR and finding.file == file for finding in self._findings)

    def findings(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._findings, key=lambda finding: finding.order))

    def _add(self, level: Level, place: Place, code: str, text: str, hint: str) -> None:
        for secret in self._hidden:
            text, hint = text.replace(secret, "***"), hint.replace(secret, "***")
        self._findings.append(Finding(place.file, place.line, place.column, level, code, text, hint))

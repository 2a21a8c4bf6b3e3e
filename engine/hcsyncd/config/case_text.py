"""A case as it is written into a test file: by hcsyncd, where people read on and write more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

WIDTH = 1000  # characters: no line is folded, a diff shows what changed
HEADER = "# What messages of this feed become. `hcsyncd test` runs these cases.\ncases:\n"
_FIRST_CASE = re.compile(r"^cases:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*(?P<indent>[ \t]*)- ", re.MULTILINE)


class _Writer(yaml.SafeDumper):
    """Writes texts of several lines as they read."""

    def increase_indent(self, *arguments: Any, **_named: Any) -> None:
        super().increase_indent(*arguments[:1])  # lists below a key are indented, too


def _text(writer: _Writer, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Writer.add_representer(str, _text)


def case_text(name: str, message: str, outcome: Mapping[str, Any], indent: str = "  ") -> str:
    """One entry of the list ``cases``; ``message`` with a line feed after each line."""
    case = [{"name": name, "message": message, **outcome}]
    lines = yaml.dump(case, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=WIDTH).splitlines()
    return "".join(f"{indent}{line}".rstrip(" ") + "\n" for line in lines)


def with_case(file: str, name: str, message: str, outcome: Mapping[str, Any]) -> str | None:
    """A test file's text with a case more at its end; None when its list of cases is not written with a dash a case.
    "" makes a new file."""
    if not file:
        return HEADER + case_text(name, message, outcome)
    found = _FIRST_CASE.search(file)
    if found is None:
        return None
    body = file if file.endswith("\n") else f"{file}\n"
    return f"{body}\n{case_text(name, message, outcome, found['indent'])}"

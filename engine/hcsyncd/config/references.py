"""``${...}`` in the YAML files: what is not to stand in them.

==================  ================================================================================================
``${NAME}``         the environment variable; it must be set, and may be empty
``${NAME:-text}``   the environment variable, or ``text`` when it is not set or empty
``${secret:NAME}``  the file NAME in ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential), else in ``secrets/`` of the
                    site; without a final line end. Never the environment, which every child process inherits
``$${``             the two characters ``${``
==================  ================================================================================================

Only values are resolved, never keys, and a value that comes from outside is not looked into again.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hcsyncd.config.finding import Place, Report, suggestion
from hcsyncd.config.yaml_tree import Scalar

MAX_SECRET_BYTES = 65_536

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inner>[^{}]*)\}|\$\{")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_SECRET = re.compile(r"secret:(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text with its references put in. ``is_literal``: what it says stands in the file, in whole or as a default."""

    text: str = field(repr=False)
    is_literal: bool = True
    has_reference: bool = False
    has_secret: bool = False


def verbatim(scalar: Scalar) -> Resolved:
    """For files in which ``${`` means nothing."""
    return Resolved(str(scalar.value))


class References:
    """Resolves the references of one site, and remembers what they stood for: `used` belongs to the generation."""

    def __init__(self, site: Path, environment: Mapping[str, str], report: Report) -> None:
        self._site = site
        self._environment = environment
        self._report = report
        self._unreadable: dict[str, str] = {}
        self.used: dict[str, str] = {}

    def resolve(self, scalar: Scalar) -> Resolved:
        """Put the references of a text in; what cannot be resolved is reported and stays as it is."""
        text = scalar.value
        if not isinstance(text, str) or "${" not in text:
            return Resolved(str(text))
        parts: list[str] = []
        literal = False
        secret = False
        end = 0
        for match in _REFERENCE.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match.group() == "$${":
                parts.append("${")
                continue
            value, from_file = self._value(match, scalar.place)
            parts.append(value)
            literal = literal or from_file
            secret = secret or (match["inner"] or "").startswith("secret:")
        parts.append(text[end:])
        return Resolved("".join(parts), is_literal=literal, has_reference=True, has_secret=secret)

    def _value(self, match: re.Match[str], place: Place) -> tuple[str, bool]:
        """What a reference stands for, and whether it was taken from the default in the file."""
        inner = match["inner"]
        if inner is not None and (found := _SECRET.fullmatch(inner)):
            return self._secret(found["name"], place), False
        if inner is not None and not inner.startswith("secret:") and (found := _VARIABLE.fullmatch(inner)):
            return self._variable(found["name"], found["default"], place)
        self._report.fault(
            place,
            "bad-reference",
            f"{match.group() if inner is not None else '${'} is no reference",
            "write ${NAME}, ${NAME:-default} or ${secret:NAME}; $${ means the characters themselves",
        )
        return match.group(), False

    def _variable(self, name: str, default: str | None, place: Place) -> tuple[str, bool]:
        value = self._environment.get(name)
        if default is not None and not value:
            self.used[name] = default
            return default, bool(default)
        if value is None:
            near = suggestion(name, [known for known in self._environment if known[:1] == name[:1]])
            hint = near if near.startswith("did you mean") else f"set it, or give a default: ${{{name}:-...}}"
            self._report.fault(place, "unresolved-reference", f"environment variable {name} is not set", hint)
            return "", False
        self.used[name] = value
        return value, False

    def _secret(self, name: str, place: Place) -> str:
        key = f"secret:{name}"
        if key not in self.used and name not in self._unreadable:
            self._read_secret(name, place)
        if name in self._unreadable:
            self._report.fault(
                place, "unresolved-reference", f"secret {name} {self._unreadable[name]}", self._where(name)
            )
            return ""
        return self.used[key]

    def _where(self, name: str) -> str:
        return f"put it into the file secrets/{name} of the site, or give it as a systemd credential"

    def _read_secret(self, name: str, place: Place) -> None:
        credentials = self._environment.get("CREDENTIALS_DIRECTORY", "")
        folders = [Path(credentials)] if credentials else []
        path = next((folder / name for folder in folders if (folder / name).is_file()), self._site / "secrets" / name)
        try:
            if not path.is_file():
                self._unreadable[name] = "is not there"
                return
            raw = path.read_bytes()
            mode = path.stat().st_mode
            value = raw.decode().removesuffix("\n").removesuffix("\r")
        except OSError as error:
            self._unreadable[name] = f"cannot be read: {error.strerror}"
            return
        except UnicodeDecodeError:
            self._unreadable[name] = "is not UTF-8 text"
            return
        if not value or len(raw) > MAX_SECRET_BYTES:
            self._unreadable[name] = "is empty" if not value else f"is larger than {MAX_SECRET_BYTES} bytes"
            return
        if mode & stat.S_IRWXO:
            shown = f"secrets/{name}" if path.parent == self._site / "secrets" else str(path)
            text = f"secret {name} is in a file that every user may read"
            self._report.warn(place, "exposed-secret", text, f"chmod o= {shown}")
        self._report.hide(value)
        self.used[f"secret:{name}"] = value

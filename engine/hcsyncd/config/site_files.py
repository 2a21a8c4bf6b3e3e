"""The files of a site, read once each: their text, the findings when they cannot be read, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hcsyncd.config.finding import Place, Report
from hcsyncd.config.yaml_tree import Table, read_yaml


def names_on_disk(folder: Path) -> list[str]:
    """Every file that a site in this folder consists of, by name; of one that cannot be loaded, too. Files that cases
    name as their messages are not known without reading these."""
    found = [folder / "hcsyncd.yaml", folder / "routes.yaml", *(folder / "channels").glob("*.yaml")]
    found += [path for path in (folder / "mapping").glob("*") if path.suffix in {".csv", ".yaml"}]
    names = [path.relative_to(folder).as_posix() for path in found if path.is_file() and not path.name.startswith(".")]
    return sorted([*names, *transform_names(folder)])


def transform_names(folder: Path) -> list[str]:
    """The transforms' files of a site, by name."""
    found = []
    for path in sorted((folder / "transforms").rglob("*.py")):
        name = path.relative_to(folder)
        if not any(part.startswith((".", "__pycache__")) for part in name.parts) and path.is_file():
            found.append(name.as_posix())
    return found


class SiteFiles:
    """Reads files below one folder. Names are relative to it, with ``/``."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._contents: dict[str, bytes] = {}

    def names(self, folder: str) -> list[str]:
        """The visible entries of a folder, in order; none when it is not there."""
        try:
            return sorted(path.name for path in (self._folder / folder).iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._report.error(Place(folder), "unreadable", f"the folder cannot be read: {error.strerror}")
            return []

    def exists(self, name: str) -> bool:
        try:
            return (self._folder / name).exists()
        except OSError:
            return True  # there, but not for us: reading it says why

    def is_folder(self, name: str) -> bool:
        return (self._folder / name).is_dir()

    def content(self, name: str) -> bytes | None:
        """The bytes of a file, None with a finding when there are none to be had."""
        path = self._folder / name
        try:
            if path.exists() and not path.is_file():  # a pipe would never end, a folder has no bytes
                self._report.error(Place(name), "unreadable", "this is no regular file")
                return None
            content = path.read_bytes()
        except FileNotFoundError:
            self._report.error(Place(name), "missing-file", f"{name} is not there")
            return None
        except OSError as error:
            self._report.error(Place(name), "unreadable", f"the file cannot be read: {error.strerror}")
            return None
        self._contents[name] = content
        return content

    def text(self, name: str) -> str | None:
        """The text of a UTF-8 file, with or without a byte order mark."""
        content = self.content(name)
        if content is None:
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start]
            line = before.count(b"\n") + 1
            column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8-sig", "replace")) + 1
            self._report.error(
                Place(name, line, column), "not-utf8", "a byte that is not UTF-8", "save the file as UTF-8"
            )
            return None

    def table(self, name: str, holds: str, *, may_be_empty: bool = False) -> Table | None:
        """The mapping that a YAML file consists of; ``holds`` says in words what it maps."""
        text = self.text(name)
        node = None if text is None else read_yaml(text, name, self._report)
        if node is None or isinstance(node, Table):
            return node
        place = Place(name)
        if self._report.is_faulted(node.place):
            return None
        if getattr(node, "text", None) == "":
            if may_be_empty:
                return Table(place, {})
            self._report.error(place, "empty-file", f"{name} says nothing", f"it maps {holds}")
            return None
        self._report.error(node.place, "bad-value", f"{name} must be a mapping", f"it maps {holds}")
        return None

    def note_transforms(self) -> None:
        """Take the transforms' files into the digest; they are loaded elsewhere."""
        for name in transform_names(self._folder):
            self.content(name)

    @property
    def read(self) -> dict[str, bytes]:
        """Every file that was read, by name, as it was then."""
        return dict(sorted(self._contents.items()))

    def digest(self, resolved: Mapping[str, str], below: str = "") -> str:
        """SHA-256 over names and contents of every file read, or of those whose names begin with ``below``, and over
        what references stood for; as hexadecimal."""
        total = hashlib.sha256()
        for name, content in sorted(self._contents.items()):
            if not name.startswith(below):
                continue
            total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        for name, value in sorted(resolved.items()):
            total.update(f"${name}\0".encode() + _digest_of(name, value.encode("utf-8", "surrogateescape")))
        return total.hexdigest()


def _digest_of(name: str, value: bytes) -> bytes:
    """Of what a reference stood for. Digests are shown and stored: trying out secrets against one must cost."""
    if name.startswith("secret:"):
        return hashlib.scrypt(value, salt=name.encode(), n=2**12, r=8, p=1)
    return hashlib.sha256(value).digest()

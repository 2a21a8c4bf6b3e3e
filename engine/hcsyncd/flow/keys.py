"""Business keys: what a message says of itself at the paths that its channel declares, so that it can be found by it.

Read at intake for what arrives and at hand-on for what is made, and only where a channel declares any.
"""

from __future__ import annotations

from collections.abc import Mapping

from hcsyncd.config.model import Channel
from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Format
from hcsyncd.message import BusinessKeys

MAX_CHARACTERS = 200  # of a value: nobody looks for a longer one
MAX_VALUES = 200  # of one body
EXPLICIT_NULL = '""'  # HL7 v2.5.1 §2.5.3: the value was deleted


class KeyReader:
    """Reads one channel's keys."""

    __slots__ = ("_form", "_paths")

    def __init__(self, form: Format, paths: Mapping[str, str]) -> None:
        self._form = form
        self._paths = tuple(paths.items())

    def read(self, body: bytes) -> BusinessKeys:
        """Every value at each path, over all repetitions; none of a body that cannot be read."""
        found: dict[tuple[str, str], None] = {}
        try:
            document = self._form.parse(body)
            for name, path in self._paths:
                for value in document.all(path):
                    text = value.strip()
                    if text and text != EXPLICIT_NULL and len(text) <= MAX_CHARACTERS:
                        found[name, text] = None
        except FormatError:
            return ()
        return tuple(found)[:MAX_VALUES]


def key_readers(channels: Mapping[str, Channel], formats: Mapping[str, Format]) -> dict[str, KeyReader]:
    """The readers of the channels that declare keys, by channel."""
    return {
        name: KeyReader(formats[name], channel.options.keys)
        for name, channel in channels.items()
        if channel.options.keys
    }

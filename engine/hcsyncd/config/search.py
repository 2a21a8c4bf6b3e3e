"""What messages are found by: the business keys that a channel declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hcsyncd.config.channels import ChannelFile
from hcsyncd.config.finding import Place, Report
from hcsyncd.config.spec import NAME_PATTERN
from hcsyncd.config.yaml_tree import Table
from hcsyncd.errors import FormatError
from hcsyncd.formats.format import FormatKind


def lint_keys(channels: Iterable[ChannelFile], formats: Mapping[str, FormatKind], report: Report) -> None:
    """Say which declared keys have no usable name, or cannot be read in their channel's format."""
    for known in channels:
        if known.channel is None or known.format is None:
            continue
        form = formats[known.format.kind].build(known.format.options)
        for name, path in known.channel.options.keys.items():
            if not re.match(NAME_PATTERN, name):
                hint = "use lower-case letters, digits and _, starting with a letter"
                report.fault(_place(known, name), "bad-name", f"{name} is no name for a key", hint)
            try:
                form.check_path(path)
            except FormatError as error:
                text = f"{path} cannot be read in {form.name} messages (key {name})"
                report.fault(_place(known, name), "bad-path", text, str(error))


def _place(known: ChannelFile, name: str) -> Place:
    entry = known.table.entries.get("keys") if known.table else None
    if entry and isinstance(entry.value, Table) and name in entry.value.entries:
        return entry.value.entries[name].value.place
    return entry.key_place if entry else Place(known.file)

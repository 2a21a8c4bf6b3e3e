"""The reference documentation and the samples, made of the option classes: what is documented is what is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, SecretStr

from hcsyncd.config.cases import CaseOptions
from hcsyncd.config.finding import CODES, PLUGIN_CODES, Report
from hcsyncd.config.kinds import IMPLIED_FORMAT, ConnectorKind, Kind
from hcsyncd.config.model import ChannelOptions, DaemonOptions, RouteOptions
from hcsyncd.config.spec import Option, options_of, plain
from hcsyncd.config.yaml_tree import Scalar, Table, read_yaml

SAMPLE_WIDTH = 100


def configuration_page() -> str:
    """docs/configuration.md: the files of a site and every option that is not a connector's or a format's."""
    return "\n".join([_INTRODUCTION.strip(), "", *_sections(), ""])


def _sections() -> Iterable[str]:
    parts = (
        ("`hcsyncd.yaml`", "Daemon-wide. The file and every line of it are optional.", DaemonOptions),
        ("`channels/<name>.yaml`", _CHANNELS, ChannelOptions),
        ("`routes.yaml`", _ROUTES, RouteOptions),
        ("`channels/<name>.test.yaml`", _CASES, CaseOptions),
    )
    for title, text, options in parts:
        yield from (f"## {title}", "", text.strip(), "", *option_tables(options))
    yield from ("## `mapping/`", "", _TABLES.strip(), "", "## References", "", _REFERENCES.strip())


def connectors_page(connectors: Sequence[ConnectorKind]) -> str:
    """docs/connectors.md: every connector's options and a sample channel."""
    lines = ["# Connectors", "", "A channel names one connector, under `source:` or `destination:`, by its `kind`.", ""]
    for role in ("source", "destination"):
        for connector in sorted((one for one in connectors if one.role == role), key=lambda one: one.kind):
            lines += [f"## {connector.kind} {role}", "", connector.summary, "", "```yaml"]
            lines += [sample(role, connector).rstrip(), "```", "", *option_tables(connector.options)]
    return "\n".join(lines).rstrip() + "\n"


def formats_page(formats: Sequence[Kind]) -> str:
    """docs/formats.md: every format's options."""
    implied = ", ".join(f"`{connector}` implies `{form}`" for connector, form in IMPLIED_FORMAT.items())
    lines = ["# Formats", "", f"A channel names its format: `format: json`, or with options as shown. {implied}.", ""]
    for form in formats:
        lines += [f"## {form.kind}", "", form.summary, "", "```yaml", sample("format", form).rstrip(), "```", ""]
        lines += option_tables(form.options)
    return "\n".join(lines).rstrip() + "\n"


def findings_table() -> list[str]:
    """Every code that lint reports, as Markdown lines."""
    rows = [f"| `{code}` | {_cell(text)} |" for code, text in sorted({**CODES, **PLUGIN_CODES}.items())]
    return ["| code | meaning |", "| --- | --- |", *rows]


def option_tables(options: type[BaseModel], prefix: str = "") -> list[str]:
    """The options of a class as Markdown, then those of each nested mapping in a table of its own."""
    known = options_of(options).values()
    if not known:
        return ["It has no options.", ""]
    lines = ["| option | takes | default | meaning |", "| --- | --- | --- | --- |", *map(_row, known), ""]
    for option in known:
        for model in option.models:
            name = f"{prefix}{option.name}"
            each = "Each item of `" if any(shape.is_list or shape.is_table for shape in option.shapes) else "`"
            lines += [f"{each}{name}` is a mapping of:", "", *option_tables(model, f"{name}.")]
    return lines


def _row(option: Option) -> str:
    shown = _default(option)
    default = "**required**" if option.required else f"`{shown}`" if shown else ""
    return f"| `{option.name}` | {_cell(option.allowed)} | {default} | {_cell(option.doc)} |"


def _default(option: Option) -> str:
    """The default as it would be written, "" where there is none worth showing."""
    if option.models or option.default in (None, "", [], {}, ()) or option.is_secret:
        return ""
    return as_yaml(option.default)


def as_yaml(value: Any) -> str:
    """A value in YAML's flow style, which JSON is part of."""
    if isinstance(value, SecretStr):
        return '"${secret:NAME}"'
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, BaseModel):
        return json.dumps(value.model_dump(mode="json", by_alias=True))
    if isinstance(value, (bool, int, float)):
        return plain(value)
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    listed = sorted(value) if isinstance(value, (set, frozenset)) else value
    return json.dumps(listed, ensure_ascii=False, default=str)


def _is_plain(text: str) -> bool:
    """Whether a text means itself without quotes, in YAML of either version."""
    report = Report()
    node = read_yaml(f"key: {text}\n", "", report)
    entry = node.entries["key"].value if isinstance(node, Table) and "key" in node.entries else None
    return not report.has_errors and isinstance(entry, Scalar) and entry.value == text and text == text.strip()


def sample(key: str, kind: Kind) -> str:
    """Commented YAML of one connector or format with all its options: required ones to fill in, others as they are."""
    return f"{key}:\n  kind: {kind.kind}\n" + "".join(_sample_lines(kind.options, "  "))


def _sample_lines(options: type[BaseModel], indent: str, *, mark: str = "") -> Iterable[str]:
    for option in options_of(options).values():
        unit = f" [{option.unit}]" if option.unit else ""
        yield from (f"{indent}{mark}# {line}\n" for line in _wrap(option.doc + unit, SAMPLE_WIDTH - len(indent)))
        off = mark or ("" if option.required else "# ")
        if option.models and not any(shape.is_list or shape.is_table for shape in option.shapes):
            yield f"{indent}{off}{option.name}:\n"
            yield from _sample_lines(option.models[0], f"{indent}", mark=f"{off}  ")
        else:
            yield f"{indent}{off}{option.name}: {_sample_value(option)}\n"


_SECRET_SAMPLES = {"": '"${secret:NAME}"', "list": '["${secret:NAME}"]', "mapping": '{name: "${secret:NAME}"}'}


def _sample_value(option: Option) -> str:
    if option.is_secret and option.example is None:
        return _SECRET_SAMPLES["list" if option.shapes[0].is_list else "mapping" if option.shapes[0].is_table else ""]
    if option.example is not None:
        return as_yaml(option.example)
    if option.required:
        return "..."
    return as_yaml(option.default) if option.default is not None else ""


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("](", "]\\(").replace("\n", " ")  # a pattern is no table and no link


_INTRODUCTION = """
# Configuration

A *site* is a folder. What it says is read as a whole: `hcsyncd check` lists everything that is wrong with it, each with
file, line, column and the likely fix, and a running daemon takes a changed site only when there is no error in it.

| file | holds |
| --- | --- |
| `hcsyncd.yaml` | daemon-wide options; optional |
| `channels/<name>.yaml` | one source or destination: its [connector](connectors.md) and [format](formats.md) |
| `channels/<name>.test.yaml` | cases: what messages of a source are expected to become |
| `routes.yaml` | which source's messages go where, and by which transform |
| `transforms/*.py` | filters and transforms |
| `mapping/*.csv`, `mapping/*.yaml` | lookup tables |
| `secrets/NAME` | one secret a file, readable by the daemon alone |

Names of channels, routes and tables are lower-case letters, digits and `_`, starting with a letter.

The YAML is that of version 1.2, core schema, and a little less: one document a file, no duplicate keys, no anchors,
aliases, merge keys or tags, and no plain value that readers of YAML 1.1 take for something else: `yes`, `no`, `on`,
`off`, `y`, `n`, `12:30`, `0123`, `1_000` must be quoted, or written as what is meant. JSON Schemas for editors are in
[schema/](schema/), or made by `hcsyncd schema`.
"""

_CHANNELS = """
The file's name is the channel's name. Beside the options below a channel has exactly one of

- `source:` what receives, and
- `destination:` what sends, each with the `kind` of its [connector](connectors.md) and that kind's options;

and a `format:`, either a kind alone (`format: json`) or a mapping with `kind` and that kind's [options](formats.md).
A channel of kind `mllp` is `hl7` when it names no format; every other kind of channel must name one.
"""

_ROUTES = """
The file holds one list, `routes:`. A message goes every route that comes `from` its channel and whose conditions hold.
"""

_CASES = """
The file holds one list, `cases:`: messages that arrive at the source of that name, and what they become. `hcsyncd test`
runs them. A message is text, in which every line end becomes a carriage return where the format is HL7 (so that a
message can be written a segment a line), or `{file: path}`, a file that is taken byte for byte. A case has one outcome:
`expect`, `dropped`, `rejected`, `failed` or `unrouted`; `acknowledge` may stand beside it or alone. `${...}` means
nothing here.
"""

_TABLES = """
Lookup tables for transforms (`context.lookup("wards", code)`), each named by its file.

- `<name>.csv`: UTF-8, separated by commas, the first line is `code,value`; further columns are for people.
- `<name>.yaml`: a flat mapping of codes to values, which are taken as texts.

Codes and values are kept to the letter. The same code twice is an error.
"""

_REFERENCES = """
Values in `hcsyncd.yaml`, `channels/<name>.yaml` and `routes.yaml` may refer to what is kept elsewhere:

| written | stands for |
| --- | --- |
| `${NAME}` | the environment variable; it must be set, and may be empty |
| `${NAME:-text}` | the environment variable, or `text` when it is not set or empty |
| `${secret:NAME}` | the file `NAME` in `$CREDENTIALS_DIRECTORY` (systemd), else in `secrets/` of the site |
| `$${` | the two characters `${` |

A secret's file is UTF-8; one line end at its end is left out. Only options that hold secrets take a secret, since all
others are shown in status and logs. Between braces or brackets (`{port: "${PORT}"}`) a reference must be quoted.
"""

"""Whatever an operator or an author may meet stands in the docs, and the core types say what they promise."""

import ast
import inspect
import re
from collections.abc import Iterator

import click
import pytest
from pydantic import BaseModel

from hcsyncd import errors, events
from hcsyncd.cli.main import cli
from hcsyncd.config.model import ChannelOptions, DaemonOptions, RouteOptions
from hcsyncd.connectors.registry import CONNECTORS
from hcsyncd.formats.registry import FORMATS
from hcsyncd.observe.catalogue import METRICS
from tests.fakes.tree import ROOT, label, parsed, project_files, python_files

CORE = (
    "clock.py",
    "config/model.py",
    "connectors/connector.py",
    "errors.py",
    "events/event.py",
    "formats/format.py",
    "message.py",
    "options.py",
    "plugins/api.py",
    "store/ports/history.py",
    "store/ports/inbox.py",
    "store/ports/outbox.py",
    "store/ports/repairs.py",
)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def option_names(options: type[BaseModel]) -> Iterator[str]:
    for name, field in options.model_fields.items():
        yield field.alias or name
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from option_names(field.annotation)


def undescribed(options: type[BaseModel]) -> Iterator[str]:
    for name, field in options.model_fields.items():
        if not field.description:
            yield f"{options.__name__}.{name}"
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from undescribed(field.annotation)


OPTIONS: dict[str, list[type[BaseModel]]] = {
    "configuration.md": [DaemonOptions, ChannelOptions, RouteOptions],
    "connectors.md": [connector.options for connector in CONNECTORS],
    "formats.md": [format_kind.options for format_kind in FORMATS.values()],
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_option_is_in_the_docs(name: str) -> None:
    text = page(name)
    assert [option for options in OPTIONS[name] for option in option_names(options) if f"`{option}`" not in text] == []
    assert [option for options in OPTIONS[name] for option in undescribed(options)] == []


def test_every_event_is_in_the_docs() -> None:
    known = [
        kind.__name__ for kind in vars(events).values() if inspect.isclass(kind) and issubclass(kind, events.Event)
    ]
    assert len(known) > 30
    assert [name for name in known if name != "Event" and name not in page("events.md")] == []


def test_every_error_code_is_in_the_docs() -> None:
    text = page("errors.md")
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.HcsyncdError)]
    assert [kind.code for kind in kinds if kind is not errors.HcsyncdError and f"## {kind.code}\n" not in text] == []


def commands(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, f"{words} {name}"
            yield from commands(inner, f"{words} {name}")


def test_every_command_is_in_the_docs_with_its_options() -> None:
    text = page("cli.md")
    missing = []
    for words, command in commands(cli, "hcsyncd"):
        missing += [words] if words not in text else []
        options = (
            parameter
            for parameter in command.params
            if isinstance(parameter, click.Option) and command is not cli  # whose --version is `hcsyncd version`
        )
        missing += [f"{words} {option.opts[0]}" for option in options if option.opts[0] not in text]
    assert missing == []


def test_every_command_has_an_example() -> None:
    assert [words for words, command in commands(cli, "hcsyncd") if "Example" not in (command.help or "")] == []


def test_every_metric_is_in_the_docs() -> None:
    assert [metric.name for metric in METRICS if metric.name not in page("metrics.md")] == []


def test_every_module_of_the_engine_says_what_it_is() -> None:
    silent = [label(path) for path in python_files("engine") if not ast.get_docstring(parsed(path))]
    assert silent == []


def test_every_core_type_says_what_it_promises() -> None:
    silent = [
        f"{name}:{node.name}"
        for name in CORE
        for node in parsed(ROOT / "engine" / "hcsyncd" / name).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_every_link_in_the_docs_leads_somewhere() -> None:
    dead = [
        f"{label(path)}: {target}"
        for path in project_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s\\]+)(?:#[^)]*)?\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert dead == []


def test_every_target_of_the_makefile_that_the_docs_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for path in project_files()
        if path.suffix == ".md"
        for name in re.findall(r"(?:^    |`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    }
    assert named
    assert named - targets == set()

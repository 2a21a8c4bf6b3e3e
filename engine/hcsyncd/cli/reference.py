"""The reference of all commands, made of what the commands say of themselves: docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hcsyncd.cli.main import COMMANDS, cli

WIDTH = 100


def cli_page() -> str:
    """The page as Markdown: every command and subcommand with its help."""
    context = click.Context(cli, info_name="hcsyncd", max_content_width=WIDTH, terminal_width=WIDTH)
    parts = ["# The command line", *_introduction(), f"```text\n{cli.get_help(context).rstrip()}\n```"]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None  # the table's own name
        parts += _sections(command, f"hcsyncd {name}")
    return "\n\n".join(parts) + "\n"


def _introduction() -> Iterator[str]:
    yield "This page is made of the commands' own `--help`."
    yield (
        "| exit code | means |\n|---|---|\n| 0 | success |\n| 1 | findings, or something did not succeed |\n"
        "| 2 | a site or a command line that cannot be used |\n| 3 | no daemon runs for the site |\n"
        "| 4 | the daemon refused |\n| 130 | interrupted with Ctrl-C |\n| 141 | the reader of the output went away |"
    )


def _sections(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, max_content_width=WIDTH, terminal_width=WIDTH)
    yield f"## {path}" if path.count(" ") == 1 else f"### {path}"
    yield f"```text\n{command.get_help(context).rstrip()}\n```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _sections(inner, f"{path} {name}")

"""The `hcsyncd` command: a table of commands, loaded by name when they are used, and what every failure exits with."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click

from hcsyncd import __version__
from hcsyncd.cli.failure import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, exit_code_of, tell
from hcsyncd.errors import HcsyncdError

COMMANDS = MappingProxyType(
    {
        "init": "Write a site to start from.",
        "run": "Run the daemon in the foreground.",
        "check": "Say all that is wrong with a site.",
        "test": "Run the cases that stand beside the channels.",
        "plan": "Show what a reload would change.",
        "shadow": "Compare what stored traffic becomes under what runs and what is on disk.",
        "reload": "Make the running daemon take the site as it is now.",
        "history": "List the configurations that were live.",
        "rollback": "Put an older configuration back.",
        "status": "Show how the daemon and its channels fare.",
        "channels": "List the channels with their counts.",
        "messages": "List, show, compare, trace and replay messages.",
        "find": "Find messages by whatever you have in hand.",
        "trace": "Show the way from a first cause to every effect, and what is missing.",
        "why": "Say why something waits.",
        "tap": "Show messages as they pass.",
        "top": "Watch the channels.",
        "dead": "List, show, assign, replay and discard dead letters.",
        "replays": "List, show, apply, hold and cancel replays.",
        "unsure": "Settle deliveries whose answer was lost.",
        "tasks": "List codes without a mapping, and what waits for them.",
        "mapping": "Enter a code into a lookup table.",
        "hold": "Stop receiving, routing or delivery of channels.",
        "resume": "Let go on what was held.",
        "retention": "Show what is kept for how long, what would go, and remove it.",
        "store": "Back up, restore, verify, export and seal the store.",
        "send": "Send messages to any engine and judge its answers.",
        "alerts": "Show and acknowledge alerts.",
        "audit": "Show and prove who saw, sent and changed what.",
        "schema": "Print the JSON Schema of a site's files.",
        "bench": "Measure the engine on this machine.",
        "demo": "Show a hospital's day on this machine.",
        "version": "Print the version.",
    }
)
"""Each command's summary; the command itself is `command` in the file of its name beside this one."""


class Commands(click.Group):
    """Loads a command's file when it is called, so that each starts as fast as its own imports allow."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        found = import_module(f"hcsyncd.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except HcsyncdError as error:
            tell(error)
            ctx.exit(exit_code_of(error))
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)  # behind the terminal's ^C
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # The reader has gone, as `| head` does. Python flushes at its end once more: let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        return result


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 success, 1 findings or failures, 2 unusable site or command line, 3 no daemon runs,"
    " 4 the daemon refused.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """hcsyncd, an interface engine for the hospital supply chain.

    \b
    Example:
      hcsyncd init mysite
      hcsyncd check --site mysite
      hcsyncd run --site mysite
    """


def main() -> None:
    """The installed script's entry."""
    cli(prog_name="hcsyncd")

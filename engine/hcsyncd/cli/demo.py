"""`hcsyncd demo`: a hospital's day, on this machine only."""

from __future__ import annotations

import click

from hcsyncd.cli.starter import starter
from hcsyncd.simulators import demo


@click.command(name="demo")
def command() -> None:
    """Show a hospital's day: a feed comes in, one destination fails for a while, and one message can be read by nobody.

    Everything happens on this machine, ends by itself within a minute and leaves nothing behind.

    \b
    Example:
      hcsyncd demo
    """
    code = demo.run(starter())
    if code:
        raise click.exceptions.Exit(code)

"""A group of commands that lists when nothing else is asked of it: `hcsyncd tasks` is `hcsyncd tasks list`."""

from __future__ import annotations

import click


class ListFirst(click.Group):
    """Takes ``list`` for what was meant where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names_none = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        return super().parse_args(ctx, ["list", *args] if names_none else args)

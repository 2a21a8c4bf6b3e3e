"""`hcsyncd schema`: what an editor needs to help with a site's files."""

from __future__ import annotations

import click

from hcsyncd.cli.display import show_json
from hcsyncd.config.schema import SCHEMA_NAMES, SchemaName, schema
from hcsyncd.connectors.registry import CONNECTORS
from hcsyncd.formats.registry import FORMATS


@click.command(name="schema")
@click.argument("name", type=click.Choice(SCHEMA_NAMES))
def command(*, name: SchemaName) -> None:
    """Print the JSON Schema (draft 2020-12) of one sort of file.

    daemon is hcsyncd.yaml, channel is channels/NAME.yaml, routes is routes.yaml, cases is channels/NAME.test.yaml.

    \b
    Example:
      hcsyncd schema channel > .vscode/channel.schema.json
    """
    show_json(schema(name, CONNECTORS, tuple(FORMATS.values())))

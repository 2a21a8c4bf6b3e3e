"""`hcsyncd find`: messages by whatever a person has in hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_heading, show_json, show_line, show_table
from hcsyncd.cli.failure import EXIT_FAILED
from hcsyncd.cli.message_view import LIST_COLUMNS, list_row
from hcsyncd.cli.moments import local
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]


@click.command(name="find")
@click.argument("word", metavar="[WORD]", required=False)
@click.option("--reindex", is_flag=True, help="Read all stored messages for the declared keys, in the background.")
@click.option("--progress", is_flag=True, help="Show how far that is.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, word: str | None, reindex: bool, progress: bool) -> None:
    """Find messages by a message or delivery id, a control id, a business key's value, an idempotency key, or the name
    of a file.

    \b
    Example:
      hcsyncd find MSG00042
      hcsyncd find mrn=123456
      hcsyncd find --reindex
    """
    if bool(word) + reindex + progress != 1:
        raise click.UsageError("Give a WORD to find, or --reindex, or --progress.")
    if word is None:
        _reindex(ask(site, "search.reindex" if reindex else "search.reindexing"), as_json=as_json)
        return
    found = ask(site, "find", {"word": word})
    if as_json:
        show_json(found["matches"])
        if not found["matches"]:
            raise click.exceptions.Exit(EXIT_FAILED)
        return
    for number, match in enumerate(found["matches"]):
        if number:
            show_line()
        of_delivery = f", of delivery {match['delivery']}" if match["delivery"] else ""
        show_heading(f"By {match['by']}{of_delivery}")
        show_table(LIST_COLUMNS, map(list_row, match["rows"]), right=("id", "bytes"))
    if not found["matches"]:
        show_line("Nothing is found by that.")
        keys = ", ".join(found["keys"]) or "none: channels declare them with `keys:`"
        note(f"looked at: message and delivery ids, control ids, idempotency keys, file names, business keys ({keys})")
        note(f"in bodies: hcsyncd messages list --text {word!r}")
        raise click.exceptions.Exit(EXIT_FAILED)


def _reindex(answer: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    standing = answer["reindexing"]
    if not answer["keys"]:
        note("no channel declares business keys: there is nothing to read")
    if standing is None:
        show_line("Stored messages have not been read for their keys.")
    elif standing["ended_at"]:
        show_line(f"All is read since {local(standing['ended_at'])}: {standing['found']} keys found.")
    else:
        done = standing["first_id"] - standing["below_id"] + 1
        show_line(f"{done} of {standing['first_id']} messages are read, {standing['found']} keys found so far.")
        note("it goes on in the background; hcsyncd find --progress shows how far it is")

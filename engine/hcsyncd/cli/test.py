"""`hcsyncd test`: the cases that stand beside the channels."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from hcsyncd.cli.display import json_option, safe, show_json, show_line, styled
from hcsyncd.cli.failure import EXIT_FAILED
from hcsyncd.cli.recording import Wish, record
from hcsyncd.cli.selection import MESSAGE_ID
from hcsyncd.cli.site import site_option
from hcsyncd.config.cases import Case, load_cases
from hcsyncd.config.finding import Level
from hcsyncd.config.model import Site
from hcsyncd.errors import ConfigError
from hcsyncd.runtime.cases import CaseResult, run_cases
from hcsyncd.runtime.site import check_site


@click.command(name="test")
@click.argument("channels", metavar="[CHANNEL]...", nargs=-1)
@click.option(
    "-k", "pattern", default="*", metavar="PATTERN", help="Only cases whose name is like this, as '*surgery*'."
)
@click.option(
    "--record",
    "message_id",
    metavar="ID",
    type=MESSAGE_ID,
    help="Make a case of a stored message, without its patient, with what the running configuration makes of it.",
)
@click.option("--name", default="", metavar="NAME", help="With --record: what the case is called.")
@click.option("--channel", default="", metavar="NAME", help="With --record: beside this channel, not its own.")
@json_option
@site_option
def command(*, site: Path, channels: tuple[str, ...], pattern: str, as_json: bool, **recording: Any) -> None:
    """Run the cases that stand beside the channels (channels/NAME.test.yaml), all or those of some channels.

    Nothing is listened on, stored or sent. Exits 1 when a case fails, 2 when the site or a case cannot be used.

    With --record, a stored HL7 message becomes a case: names, numbers, addresses, dates and free texts are replaced by
    fakes of the same form. Read it before it leaves the house.

    \b
    Example:
      hcsyncd test
      hcsyncd test adt_in -k '*surgery*'
      hcsyncd test --record 4711 --name "a transfer without a bed"
    """
    wish = _wish(**recording)
    checked = check_site(site)
    if checked.site is None:
        raise ConfigError(f"the site {site} has errors; no case was run", checked.errors)
    if wish is not None:
        _judge(checked.site, [record(checked.site, wish)], as_json=as_json)
        return
    loaded = load_cases(checked.site)
    errors = tuple(finding for finding in loaded.findings if finding.level is Level.ERROR)
    if errors:
        raise ConfigError("some cases cannot be read; none was run", errors)
    unknown = sorted(set(channels) - set(checked.site.channels))
    if unknown:
        raise click.UsageError(f"There is no channel {', '.join(unknown)}.")
    wanted = [
        case
        for case in loaded.cases
        if (not channels or case.channel in channels) and fnmatchcase(case.name.lower(), pattern.lower())
    ]
    _judge(checked.site, wanted, as_json=as_json)


def _wish(message_id: int | None, name: str, channel: str) -> Wish | None:
    if message_id is None:
        if name or channel:
            raise click.UsageError("--name and --channel go with --record ID.")
        return None
    if not name:
        raise click.UsageError("Give the case a name: --name NAME.")
    return Wish(message_id, name, channel)


def _judge(site: Site, cases: Sequence[Case], *, as_json: bool) -> None:
    """Run and show; exits 1 when one fails."""
    results = run_cases(site, cases) if cases else []
    if as_json:
        show_json([_as_json(result) for result in results])
    else:
        _show(results)
    if not all(result.passed for result in results):
        raise click.exceptions.Exit(EXIT_FAILED)


def _as_json(result: CaseResult) -> dict[str, object]:
    case = result.case
    place = {"file": case.file, "line": case.line, "column": case.column}
    return {"case": case.name, "channel": case.channel, **place, "passed": result.passed, "problems": result.problems}


def _show(results: Sequence[CaseResult]) -> None:
    for result in results:
        case = result.case
        line = Text(f"{case.file}:{case.line} ").append_text(styled("passed" if result.passed else "failed"))
        show_line(line.append(safe(f"  {case.name}")))
        for problem in result.problems:
            show_line(safe(f"    {problem}"))
    failed = sum(not result.passed for result in results)
    show_line(f"{len(results) - failed} passed, {failed} failed" if results else "no cases")

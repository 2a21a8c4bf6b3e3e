"""`hcsyncd check`: everything that is wrong with a site, at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from hcsyncd.cli.display import json_option, show_json, show_line, styled
from hcsyncd.cli.failure import EXIT_FAILED, EXIT_UNUSABLE
from hcsyncd.cli.site import site_option
from hcsyncd.config.cases import load_cases
from hcsyncd.config.finding import Finding, Level
from hcsyncd.runtime.site import check_site

UNREADABLE = frozenset({"missing-file", "not-utf8", "unreadable", "yaml-syntax"})
"""Findings behind which there may be more: what the file says is not known."""


@click.command(name="check")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, strict: bool) -> None:
    """Say all that is wrong with a site, its cases included, each with file, line, column and the likely fix.

    Exits 0 when it can be used, 1 when it has errors, 2 when a file of it cannot be read at all.

    \b
    Example:
      hcsyncd check --site /etc/hcsyncd --strict
    """
    checked = check_site(site)
    findings = (*checked.findings, *(load_cases(checked.site).findings if checked.site else ()))
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if as_json:
        listed = [finding.as_json() for finding in findings]
        numbers = {"errors": len(errors), "warnings": len(findings) - len(errors)}
        show_json({"site": str(site), **numbers, "findings": listed})
    else:
        _show(site, findings, len(errors))
    code = exit_code(findings, strict=strict)
    if code:
        raise click.exceptions.Exit(code)


def exit_code(findings: Sequence[Finding], *, strict: bool) -> int:
    """0 clean, 1 errors (or warnings, when strict), 2 unreadable."""
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if any(finding.code in UNREADABLE for finding in errors):
        return EXIT_UNUSABLE
    return EXIT_FAILED if errors or (strict and findings) else 0


def _show(site: Path, findings: Sequence[Finding], errors: int) -> None:
    for finding in findings:
        place = Text(f"{finding.file}:{finding.line}:{finding.column} ", style="bold")
        place.append_text(styled(str(finding.level))).append(f" {finding.code}: {finding.text}")
        show_line(place.append(f" ({finding.hint})" if finding.hint else "", style="cyan"))
    warnings = len(findings) - errors
    told = [
        f"{count} {word}{'s' * (count != 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
    ]
    show_line(f"{site}: {', '.join(told) or 'clean'}")

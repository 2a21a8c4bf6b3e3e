"""How a failure is told to a person, and which exit code belongs to it."""

from __future__ import annotations

import click

from hcsyncd.errors import CommandRefused, ConfigError, DaemonAbsent, HcsyncdError

EXIT_FAILED = 1  # findings, or something did not succeed
EXIT_UNUSABLE = 2  # a site or command line that cannot be used
EXIT_NO_DAEMON = 3
EXIT_REFUSED = 4  # by the daemon
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def exit_code_of(error: HcsyncdError) -> int:
    if isinstance(error, DaemonAbsent):
        return EXIT_NO_DAEMON
    if isinstance(error, CommandRefused):
        return EXIT_REFUSED
    return EXIT_UNUSABLE if isinstance(error, ConfigError) else EXIT_FAILED


def tell(error: HcsyncdError) -> None:
    """One sentence on standard error, and the error's findings below it."""
    click.echo(f"hcsyncd: {error}", err=True)
    findings: tuple[object, ...] = ()
    if isinstance(error, ConfigError):
        findings = error.findings
    elif isinstance(error, CommandRefused):
        findings = error.details
    for finding in findings:
        click.echo(f"  {as_line(finding)}", err=True)


def as_line(finding: object) -> str:
    """A finding as `hcsyncd check` writes it; one that came over the control socket is an object of the same fields."""
    if not isinstance(finding, dict):
        return str(finding)
    hint = f" ({finding['hint']})" if finding.get("hint") else ""
    place = f"{finding.get('file', '')}:{finding.get('line', 1)}:{finding.get('column', 1)}"
    return f"{place} {finding.get('level', 'error')} {finding.get('code', '')}: {finding.get('text', '')}{hint}"

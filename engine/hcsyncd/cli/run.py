"""`hcsyncd run`: the daemon, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from hcsyncd.cli.display import note
from hcsyncd.cli.site import site_option
from hcsyncd.config.finding import Level
from hcsyncd.daemon import run
from hcsyncd.errors import ConfigError
from hcsyncd.runtime.site import check_site


@click.command(name="run")
@site_option
def command(*, site: Path) -> None:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C; a second signal ends it at once. SIGHUP reloads.

    \b
    Example:
      hcsyncd run --site /etc/hcsyncd
    """
    checked = check_site(site)
    if checked.site is None:
        raise ConfigError(f"the site {site} has errors; nothing was started", checked.errors)
    for finding in checked.findings:
        if finding.level is Level.WARNING:
            note(str(finding))
    run(checked.site)

"""`hcsyncd init`: the reference site, as something to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hcsyncd.cli.display import show_line
from hcsyncd.cli.starter import starter
from hcsyncd.errors import ConfigError

PARTS = ("hcsyncd.yaml", "routes.yaml", "channels", "transforms", "mapping", "systemd")
IGNORED = "# What the daemon keeps, and what is not for others' eyes.\nvar/\nsecrets/\n"


@click.command(name="init")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Write over files that are there.")
def command(*, folder: Path, force: bool) -> None:
    """Write a site to start from into DIR: channels, routes, transforms, lookup tables, and a systemd unit.

    Nothing that is there is written over, unless --force is given.

    \b
    Example:
      hcsyncd init mysite
    """
    source = starter()
    files = {file.relative_to(source): file.read_bytes() for file in _files(source)}
    files[Path(".gitignore")] = IGNORED.encode()
    existing = sorted(str(name) for name in files if (folder / name).exists())
    if existing and not force:
        shown = ", ".join(existing[:5]) + (f" and {len(existing) - 5} more" if len(existing) > 5 else "")
        raise ConfigError(f"{folder} has {shown} already; nothing was written (--force writes over them)")
    try:
        for name, body in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    show_line(f"{folder}: {len(files)} files written. Next:")
    for number, step in enumerate(_next_steps(folder), 1):
        show_line(f"  {number}. {step}")


def _files(source: Path) -> Iterator[Path]:
    for part in PARTS:
        path = source / part
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _next_steps(folder: Path) -> tuple[str, ...]:
    return (
        f"look into {folder}/routes.yaml and {folder}/channels/, and make them say what your hospital has",
        f"hcsyncd check --site {folder}      all that is wrong, with file, line and fix",
        f"hcsyncd test --site {folder}       the cases beside the channels",
        f"hcsyncd run --site {folder}        the daemon in the foreground; Ctrl-C stops it",
        f"hcsyncd status --site {folder}     how it fares, from another terminal",
        f"{folder}/systemd/ has a unit for the day it goes live",
    )

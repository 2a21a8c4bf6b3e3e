"""A body that a person repairs before its message is sent again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from hcsyncd.cli.message_view import decoded
from hcsyncd.cli.site import ask

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def body_options(function: AnyFunction) -> AnyFunction:
    """Gives a command its ``body: Path | None`` and ``edit: bool``."""
    function = click.option("--edit", is_flag=True, help="Repair one message's bytes in your editor first.")(function)
    return click.option(
        "--body",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        metavar="FILE",
        help="Send the bytes of this file instead of one message's own; - is standard input.",
    )(function)


def repaired_body(site: Path, ids: Sequence[int], file: Path | None, *, edit: bool) -> bytes | None:
    """The bytes that are to stand in for one message's own; None when they stay as they are."""
    if file is None and not edit:
        return None
    if file is not None and edit:
        raise click.UsageError("Give --body or --edit, not both.")
    if len(set(ids)) != 1:
        raise click.UsageError(f"A repaired body stands in for one message; {len(set(ids))} are meant.")
    if file is not None:
        with click.open_file(str(file), "rb") as stream:
            body: bytes = stream.read()
        return body
    original = decoded(ask(site, "messages.show", {"id": ids[0], "body": True})["body"])
    changed = edited(original)
    if changed == original:
        raise click.UsageError("Nothing was changed; nothing is replayed.")
    return changed


def can_edit() -> bool:
    """Whether somebody, or the program that $EDITOR names, can edit here: else an editor would wait for ever."""
    return sys.stdin.isatty() or bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))


def edited(body: bytes) -> bytes:
    """A body after the person's editor had it. Segment ends (CR) are line ends there and come back as they were; bytes
    that are no UTF-8 survive only in lines that nobody touches, so they are refused."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError("The body is no UTF-8 text: use --raw and --body with a file.") from error
    has_cr_only = "\r" in text and "\n" not in text
    changed = click.edit(text.replace("\r", "\n") if has_cr_only else text, extension=".hl7")
    if changed is None:
        return body
    return (changed.replace("\n", "\r") if has_cr_only else changed).encode()

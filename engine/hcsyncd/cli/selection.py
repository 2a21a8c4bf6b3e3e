"""The options by which a person says which messages are meant, shared by the commands on messages and dead letters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from hcsyncd.cli.moments import Moment
from hcsyncd.cli.site import ask
from hcsyncd.message import DeliveryState, MessageState

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
PAGE = 1000  # rows asked for at once


class _MessageId(click.IntRange):
    name = "message id"


MESSAGE_ID = _MessageId(1, 2**63 - 1)

_FIELDS = (
    "channel",
    "type",
    "state",
    "cause",
    "control_id",
    "keys",
    "text",
    "trace",
    "route",
    "destination",
    "since",
    "until",
)
_STATES = list(dict.fromkeys(state.value for kind in (MessageState, DeliveryState) for state in kind))


class _Key(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return str(value[0]), str(value[1])
        name, sign, wanted = str(value).partition("=")
        if not sign or not name.strip() or not wanted.strip():
            self.fail("write it as NAME=VALUE, mrn=123456 for example", param, ctx)
        return name.strip(), wanted.strip()


KEY = _Key()


_OPTIONS: dict[str, Any] = {
    "channel": click.option("--channel", default="", metavar="NAME", help="That came in by this channel."),
    "type": click.option("--type", default="", metavar="PATTERN", help="Of this type, as ADT^A01 or 'ADT^*'."),
    "state": click.option("--state", type=click.Choice(_STATES), help="In this state, or with a delivery in it."),
    "cause": click.option("--cause", default="", metavar="CODE", help="With this cause."),
    "control_id": click.option("--control-id", default="", metavar="PATTERN", help="With this control id (MSH-10)."),
    "keys": click.option(
        "--key",
        "keys",
        type=KEY,
        multiple=True,
        metavar="NAME=VALUE",
        help="With this business key, as mrn=123456; several must all be there.",
    ),
    "text": click.option(
        "--text", default="", metavar="TEXT", help="With this text in what arrived or was made of it."
    ),
    "trace": click.option("--trace", type=MESSAGE_ID, metavar="ID", help="Of the same first cause as this message."),
    "route": click.option("--route", default="", metavar="NAME", help="Taken by this route."),
    "destination": click.option("--destination", default="", metavar="NAME", help="Bound for this channel."),
    "since": click.option("--since", type=Moment(), metavar="TIME", help="Received since: 2h, 14:30, 2026-11-22."),
    "until": click.option("--until", type=Moment(), metavar="TIME", help="Received before."),
}


def selection_options(*left_out: str) -> Callable[[AnyFunction], AnyFunction]:
    """Gives a command the filter's options, less those it has its own meaning for."""

    def decorate(function: AnyFunction) -> AnyFunction:
        for name in reversed(_FIELDS):
            if name not in left_out:
                function = _OPTIONS[name](function)
        return function

    return decorate


def selected(options: dict[str, Any]) -> dict[str, Any]:
    """The wire form of what was given; empty options narrow nothing and are left out."""
    return {name: options[name] for name in _FIELDS if options.get(name) not in (None, "", ())}


def pages(site: Path, verb: str, wanted: dict[str, Any], id_of: Callable[[Any], int]) -> Iterator[Any]:
    """Every row a filter means, in the order of arrival, however many there are."""
    after = 0
    while True:
        rows = ask(site, verb, {**wanted, "after_id": after, "limit": PAGE, "newest_first": False})
        yield from rows
        if len(rows) < PAGE:
            return
        after = id_of(rows[-1])


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is done that cannot be taken back. Without a terminal nobody can answer: --yes is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on: give --yes.")
    if not click.confirm(question, err=True):
        raise click.exceptions.Exit(1)

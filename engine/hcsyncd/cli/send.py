"""`hcsyncd send`: a client to try any engine with, ours or another."""

from __future__ import annotations

import ssl
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click
import uvloop

from hcsyncd.cli.display import json_option, note, safe, show_facts, show_json
from hcsyncd.cli.failure import EXIT_FAILED, EXIT_INTERRUPTED, tell
from hcsyncd.cli.message_view import lines_of
from hcsyncd.cli.moments import span
from hcsyncd.cli.sending.client import Client, send_all
from hcsyncd.cli.sending.deck import Deck, Outgoing
from hcsyncd.cli.sending.mllp import MllpClient
from hcsyncd.cli.sending.tally import Answered, Outcome, Tally
from hcsyncd.connectors.tls import TlsClientOptions, client_context
from hcsyncd.errors import HcsyncdError

SCHEMES = ("mllp", "mllps", "http", "https")
DEFAULT_PORT = 2575  # registered for HL7 over MLLP (IANA: hl7)
SHOWN_FAILURES = 10


class Target(click.ParamType[SplitResult]):
    """``mllp://host:port`` or an HTTP URL."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SplitResult:
        if isinstance(value, SplitResult):
            return value
        url = urlsplit(value if "://" in value else f"mllp://{value}")
        try:
            is_good = url.scheme in SCHEMES and bool(url.hostname) and url.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            self.fail(
                f"{value!r} is no target; write mllp://host:port, mllps://..., http://... or https://...", param, ctx
            )
        return url


@click.command(name="send")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, allow_dash=True, path_type=Path)
)
@click.option("--to", "target", required=True, type=Target(), metavar="URL", help="mllp://host:port or http(s)://...")
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="Send N messages, over and over. Default: each once."
)
@click.option(
    "--rate", default=0.0, type=click.FloatRange(0), metavar="N", help="Messages a second. Default: no limit."
)
@click.option("--connections", default=1, show_default=True, type=click.IntRange(1, 1000), help="Used side by side.")
@click.option(
    "--fresh-ids", is_flag=True, help="Give each message a control id (MSH-10), or idempotency key, of its own."
)
@click.option("--as-is", is_flag=True, help="Send each file as one message, bytes untouched.")
@click.option(
    "--timeout", default=10.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Seconds to wait."
)
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="HTTP: a header; may be repeated.")
@click.option("--method", default="POST", show_default=True, help="HTTP: the method.")
@click.option("--tls", is_flag=True, help="MLLP: speak TLS, as mllps:// does.")
@click.option("--ca", default="", metavar="FILE", help="TLS: trust these authorities (PEM) instead of the system's.")
@click.option("--cert", default="", metavar="FILE", help="TLS: show this client certificate (PEM).")
@click.option("--key", default="", metavar="FILE", help="TLS: its private key, when it is in a file of its own.")
@click.option("--insecure", is_flag=True, help="TLS: take any certificate. For tests only.")
@click.option("-v", "--verbose", is_flag=True, help="Show every answer.")
@json_option
def command(*, paths: tuple[Path, ...], count: int | None, verbose: bool, as_json: bool, **options: Any) -> None:
    """Send messages from files, folders or standard input (-) to any engine, and judge its answers.

    HL7 files are cut into their messages, and line ends become carriage returns. Exits 1 unless all were accepted.

    \b
    Example:
      hcsyncd send admission.hl7 --to mllp://localhost:2575 -v
      hcsyncd send samples/ --to mllp://localhost:2575 --count 10000 --connections 8 --fresh-ids
      hcsyncd send order.json --to https://erp.example/orders --header 'Authorization: Bearer x'
    """
    deck = Deck(paths, as_is=options["as_is"], fresh_ids=options["fresh_ids"])
    clients = _clients(options)
    tally = Tally()
    reporter = _Reporter(verbose=verbose)
    code = 0
    try:
        uvloop.run(send_all(deck.deal(count), clients, options["rate"], tally, reporter.on_answer))
    except KeyboardInterrupt:
        note("interrupted")
        code = EXIT_INTERRUPTED
    except HcsyncdError as error:
        tell(error)
        code = EXIT_FAILED
    reporter.end()
    _show(tally, as_json=as_json)
    if code or not tally.all_accepted:
        raise click.exceptions.Exit(code or EXIT_FAILED)


def _clients(options: dict[str, Any]) -> list[Client]:
    target: SplitResult = options["target"]
    timeout = options["timeout"]
    tls = _tls(options) if options["tls"] or target.scheme in ("mllps", "https") else None
    assert target.hostname is not None  # the target's type saw to it
    if target.scheme in ("mllp", "mllps"):
        port = target.port or DEFAULT_PORT
        return [MllpClient(target.hostname, port, timeout, tls) for _ in range(options["connections"])]
    http_client = import_module("hcsyncd.cli.sending.http").HttpClient  # an HTTP library is dear to load for MLLP alone
    headers = dict(map(_header, options["headers"]))
    return [
        http_client(target.geturl(), timeout, tls, options["method"], headers, fresh_ids=options["fresh_ids"])
        for _ in range(options["connections"])
    ]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is no header; write 'Name: value'", param_hint="--header")
    return name.strip(), value.strip()


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key belongs to a --cert.")
    wanted = TlsClientOptions(
        ca=options["ca"], certificate=options["cert"], key=options["key"], verify=not options["insecure"]
    )
    return client_context(wanted, Path.cwd())


class _Reporter:
    """Tells of answers on standard error: all of them, or the first failures."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._failures = 0

    def on_answer(self, outgoing: Outgoing, answered: Answered) -> None:
        failed = answered.outcome is not Outcome.ACCEPTED
        self._failures += failed
        if self._verbose or (failed and self._failures <= SHOWN_FAILURES):
            note(safe(f"{outgoing.name}: {answered.outcome}: {answered.detail}"))
        if self._verbose and answered.answer:
            for line in lines_of(answered.answer):
                note(f"  {line}")

    def end(self) -> None:
        if self._failures > SHOWN_FAILURES and not self._verbose:
            note(f"... and {self._failures - SHOWN_FAILURES} more that were not accepted; -v shows all")


def _show(tally: Tally, *, as_json: bool) -> None:
    summary = tally.summary()
    if as_json:
        show_json(summary)
        return
    if not summary["sent"]:
        show_facts([("sent", 0)])
        return
    latency = ", ".join(f"{name} {span(seconds)}" for name, seconds in summary["latency"].items())
    show_facts(
        [
            ("sent", summary["sent"]),
            *((name, number) for name, number in summary["outcomes"].items() if number or name == "accepted"),
            ("took", f"{span(summary['seconds'])}, {summary['rate']:.1f} messages a second"),
            ("answered in", latency),
        ]
    )

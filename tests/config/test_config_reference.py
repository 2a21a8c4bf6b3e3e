"""The generated pages say what the option classes say, and the samples can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.config.finding import CODES, PLUGIN_CODES
from hcsyncd.config.model import ChannelOptions, DaemonOptions, RouteOptions
from hcsyncd.config.reference import configuration_page, connectors_page, findings_table, formats_page, sample
from hcsyncd.config.spec import describe, options_of, shapes
from hcsyncd.formats.registry import FORMATS
from hcsyncd.options import Options, option
from tests.fakes.site_folder import CONNECTORS, ROUTES, FakeConnector, SiteFolder


def test_every_option_of_the_site_is_on_the_page() -> None:
    page = configuration_page()
    for options in (DaemonOptions, ChannelOptions, RouteOptions):
        for name, known in options_of(options).items():
            assert f"| `{name}` | {known.allowed}".replace("|", "\\|", 0) in page
            assert known.doc.replace("|", "\\|") in page
    assert "| `first_secs` | a number of seconds, more than 0 | `1` | Pause after the first failure. |" in page
    assert "`retry` is a mapping of:" in page


def test_a_connectors_page_shows_bounds_defaults_and_secrets() -> None:
    page = connectors_page(CONNECTORS)
    assert "## mllp source\n\nReceives HL7 over MLLP.\n" in page
    assert "| `port` | a whole number, from 0 to 65535 | **required** | Port to listen on. |" in page
    assert "| `method` | one of POST, PUT | `POST` | The method. |" in page
    assert "| `token` | a text (a secret) |  | Bearer token. |" in page
    assert "`tls` is a mapping of:\n\n| option | takes | default | meaning |" in page


def test_a_formats_page_has_every_format() -> None:
    page = formats_page(tuple(FORMATS.values()))
    assert [kind for kind in FORMATS if f"\n## {kind}\n" not in page] == []


def test_every_code_of_a_finding_is_documented() -> None:
    rows = findings_table()
    assert [code for code in (*CODES, *PLUGIN_CODES) if not any(row.startswith(f"| `{code}` | ") for row in rows)] == []
    assert not set(CODES) & set(PLUGIN_CODES)


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda one: f"{one.kind}-{one.role}")
def test_a_sample_is_a_channel_once_its_required_options_are_filled_in(
    folder: SiteFolder, connector: FakeConnector
) -> None:
    name, other = ("adt_in", "events_out") if connector.role == "source" else ("events_out", "adt_in")
    text = sample(connector.role, connector)
    assert "# Port to listen on.\n  port: 2575\n" in text or "url: https://example.org/events\n" in text
    folder.write(f"channels/{name}.yaml", f"format: hl7\n{text}")
    folder.write("routes.yaml", ROUTES)
    assert folder.findings() == []
    assert other in folder.site().channels


def test_a_samples_comments_can_be_switched_on(folder: SiteFolder) -> None:
    listener = next(one for one in CONNECTORS if (one.kind, one.role) == ("mllp", "source"))
    text = sample("source", listener)
    assert "  # [seconds]" not in text
    assert "  # For one frame. [seconds]\n  # timeout_secs: 30\n" in text
    switched = text.replace("# timeout_secs", "timeout_secs").replace("# tls:", "tls:")
    switched = switched.replace("#   certificate: ...", "  certificate: x")
    folder.write("channels/adt_in.yaml", switched)
    assert folder.findings() == []


def test_words_for_what_is_allowed() -> None:
    class Odd(Options):
        """Options of every shape."""

        a: set[int] | None = option(None, "A.")
        b: dict[str, list[str]] = option(default_factory=dict, doc="B.")
        c: str = option("x", "C.", min_length=1, max_length=5)
        d: Path = option(Path("x"), "D.")
        e: int = option(1, "E.", gt=0, lt=9, unit="rows")

    assert [known.allowed for known in options_of(Odd).values()] == [
        "a list of whole numbers",
        "a mapping, each item a list of texts",
        "a text, at least 1 character, at most 5 characters",
        "a path",
        "a whole number of rows, more than 0, less than 9",
    ]
    assert describe(shapes(None)) == "left out"

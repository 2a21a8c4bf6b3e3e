"""Every code that lint knows, on real files, at its exact line and column."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hcsyncd.config.cases import load_cases
from hcsyncd.config.finding import CODES
from tests.fakes.site_folder import DESTINATION, ROUTES, SOURCE, SiteFolder

TOP = "source:\n  kind: mllp\n"


@dataclass(frozen=True)
class Mistake:
    """A file put into a good site, and the one finding that follows."""

    file: str
    content: str | bytes
    expected: str

    @property
    def code(self) -> str:
        return self.expected.split(": ")[0].split()[-1]


MISTAKES = (
    # YAML
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "\tenabled: true\n",
        "channels/adt_in.yaml:4:1 error yaml-syntax: a tab in the indentation (indent with spaces)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "description: a: b\n",
        "channels/adt_in.yaml:4:15 error yaml-syntax: mapping values are not allowed in this context"
        " (quote the value if it holds ': ', or look at the indentation)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + 'description: "open\n',
        "channels/adt_in.yaml:5:1 error yaml-syntax: found unexpected end of stream, opened on line 4"
        " (a quote is not closed)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "description: a\x07b\n",
        "channels/adt_in.yaml:4:15 error yaml-syntax: a control character"
        " (delete it, or write an escape in double quotes)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "---\n" + SOURCE,
        "channels/adt_in.yaml:4:1 error yaml-syntax: a second document (one file, one document: delete the '---')",
    ),
    Mistake(
        "channels/adt_in.yaml",
        "source: {kind: mllp, port: ${PORT}}\n",
        "channels/adt_in.yaml:1:29 error yaml-syntax: did not find expected ',' or '}'"
        " (quote values with { } , [ ] between braces, ${...} too)",
    ),
    Mistake(
        "hcsyncd.yaml",
        "drain_secs: " + "[" * 33 + "]" * 33 + "\n",
        "hcsyncd.yaml:1:44 error yaml-syntax: nested more than 32 deep",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "  port: 1\n",
        "channels/adt_in.yaml:4:3 error duplicate-key: port stands here twice (first on line 3)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "enabled: on\n",
        "channels/adt_in.yaml:4:10 error yaml-trap: on is a yes to some readers of YAML and a text to others"
        " (write true, or quote it)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: 02575\n",
        "channels/adt_in.yaml:3:9 error yaml-trap: this is an octal number to some readers of YAML (quote it)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "description: 12:30\n",
        "channels/adt_in.yaml:4:14 error yaml-trap: this is a number to base 60 to some readers of YAML (quote it)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: 1_000\n",
        "channels/adt_in.yaml:3:9 error yaml-trap: this is a number to some readers of YAML (quote it)",
    ),
    Mistake(
        "mapping/flags.yaml",
        "A: 1\nY: 2\n",
        "mapping/flags.yaml:2:1 error yaml-trap: Y is a yes to some readers of YAML and a text to others (quote it)",
    ),
    Mistake(
        "channels/events_out.yaml",
        DESTINATION + "retry: &slow {first_secs: 5}\ndescription: *slow\n",
        "channels/events_out.yaml:6:14 error yaml-alias: aliases (*name) are not used here"
        " (write the value out, or quote it)",
    ),
    Mistake(
        "channels/events_out.yaml",
        DESTINATION + "retry:\n  <<: *slow\n".replace("*slow", "{first_secs: 5}"),
        "channels/events_out.yaml:6:3 error yaml-alias: merge keys (<<) are not used here (write the entries out)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: !!int 0\n",
        "channels/adt_in.yaml:3:9 error yaml-tag: tags (!name) are not used here (delete the tag, or quote the value)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "? [a]\n: b\n",
        "channels/adt_in.yaml:4:3 error yaml-key: a key must be a text",
    ),
    # Files
    Mistake(
        "channels/adt_in.yaml",
        "# ü\ndescription: \xfc".encode("latin-1"),
        "channels/adt_in.yaml:1:3 error not-utf8: a byte that is not UTF-8 (save the file as UTF-8)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        "# nothing\n",
        "channels/adt_in.yaml:1:1 error empty-file: channels/adt_in.yaml says nothing"
        " (it maps a channel's options: source or destination, format, ...)",
    ),
    Mistake(
        "channels/adt_in.yml",
        "",
        "channels/adt_in.yml:1:1 warning ignored-file: channels/adt_in.yml is not read"
        " (channels are files named <name>.yaml)",
    ),
    Mistake(
        "channels/ADT-in.yaml",
        SOURCE,
        "channels/ADT-in.yaml:1:1 error bad-name: ADT-in is no name for a channel"
        " (use lower-case letters, digits and _, starting with a letter)",
    ),
    Mistake(
        "channels/pipe.yaml/inner",
        "",
        "channels/pipe.yaml:1:1 error unreadable: this is no regular file",
    ),
    # Options
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "  tiemout_secs: 5\n",
        "channels/adt_in.yaml:4:3 error unknown-option: tiemout_secs (did you mean timeout_secs?)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "timeout_secs: 5\n",
        "channels/adt_in.yaml:4:1 error unknown-option: timeout_secs (indent it: it belongs below source)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "descripton: ADT\n",
        "channels/adt_in.yaml:4:1 error unknown-option: descripton (did you mean description?)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP,
        "channels/adt_in.yaml:1:1 error missing-option: port is required"
        " (Port to listen on. It takes a whole number, from 0 to 65535.)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "  tls:\n    key_password: ${PW}\n",
        "channels/adt_in.yaml:4:3 error missing-option: tls.certificate is required"
        " (Certificate chain, PEM. It takes a text.)",
    ),
    Mistake(
        "channels/events_out.yaml",
        DESTINATION.replace("format: json\n", ""),
        "channels/events_out.yaml:1:1 error missing-option: format is required"
        " (one of hl7, json, xml, delimited, fixed, text; only mllp implies one: hl7)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        "enabled: true\n",
        "channels/adt_in.yaml:1:1 error missing-option: source or destination is required"
        " (add `source:` or `destination:` with the kind of its connector)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        "source:\n  port: 0\n",
        "channels/adt_in.yaml:1:1 error missing-option: source.kind is required (one of http, mllp)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: 70000\n",
        "channels/adt_in.yaml:3:9 error bad-value: port must be a whole number, from 0 to 65535, not 70000",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "  timeout_secs: 0\n",
        "channels/adt_in.yaml:4:17 error bad-value: timeout_secs must be a number of seconds, more than 0, not 0",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "  timeout_secs: .inf\n",
        "channels/adt_in.yaml:4:17 error bad-value: timeout_secs must be a number of seconds, more than 0, not .inf",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: true\n",
        "channels/adt_in.yaml:3:9 error bad-value: port must be a whole number, from 0 to 65535, not true",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port:\n",
        "channels/adt_in.yaml:3:3 error bad-value: port has no value (give it a value, or delete the line)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "acknowledge: storred\n",
        "channels/adt_in.yaml:4:14 error bad-value: acknowledge must be one of stored, processed, delivered,"
        " not storred (did you mean stored?)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "description: 4711\n",
        'channels/adt_in.yaml:4:14 error bad-value: description must be a text, not 4711 (quote it: "4711")',
    ),
    Mistake(
        "routes.yaml",
        ROUTES + "    when: {PV1-2: 1}\n",
        "routes.yaml:6:19 error bad-value: when.PV1-2 must be a text, a list of texts (at least 1 item) or true or"
        ' false, not 1 (quote it: "1")',
    ),
    Mistake(
        "routes.yaml",
        ROUTES.replace("adt.to_event", "to_event"),
        "routes.yaml:4:16 error bad-value: transform must be file.function, not to_event"
        " (adt.to_event is the function to_event of transforms/adt.py)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        "source: {kind: mlp, port: 0}\n",
        "channels/adt_in.yaml:1:16 error unknown-kind: there is no connector 'mlp' as source (did you mean mllp?)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "format: hl8\n",
        "channels/adt_in.yaml:4:9 error unknown-kind: there is no format 'hl8' as format (did you mean hl7?)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + DESTINATION,
        "channels/adt_in.yaml:5:1 error two-endpoints: a channel is a source or a destination, not both"
        " (make two files of it)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "window: 2\n",
        "channels/adt_in.yaml:4:1 warning ineffective-option: window does nothing at a source (delete it)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "retention:\n  metadata: {days: 30}\n",
        "channels/adt_in.yaml:4:1 warning ineffective-retention: metadata has a bound and bodies have none: rows stay"
        " as long as their bodies (bound the bodies, no later than the metadata)",
    ),
    Mistake(
        "hcsyncd.yaml",
        "retention:\n  bodies: {days: 60}\n  metadata: {days: 30}\n",
        "hcsyncd.yaml:1:1 warning ineffective-retention: metadata is to go after 30 days, bodies after 60: rows go with"
        " their bodies (bound the bodies, no later than the metadata)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "retention:\n  bodies: {days: 0}\n",
        "channels/adt_in.yaml:5:18 error bad-value: retention.bodies.days must be a number of days, more than 0, not 0",
    ),
    # References and secrets
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: ${ADT_PORT}\n",
        "channels/adt_in.yaml:3:9 error unresolved-reference: environment variable ADT_PORT is not set"
        " (set it, or give a default: ${ADT_PORT:-...})",
    ),
    Mistake(
        "channels/events_out.yaml",
        DESTINATION + '  token: "${secret:token}"\n',
        "channels/events_out.yaml:5:10 error unresolved-reference: secret token is not there"
        " (put it into the file secrets/token of the site, or give it as a systemd credential)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        SOURCE + "description: ${secret:../x}\n",
        "channels/adt_in.yaml:4:14 error bad-reference: ${secret:../x} is no reference"
        " (write ${NAME}, ${NAME:-default} or ${secret:NAME}; $${ means the characters themselves)",
    ),
    Mistake(
        "channels/events_out.yaml",
        DESTINATION + "  token: hunter2\n",
        "channels/events_out.yaml:5:10 warning literal-secret: token stands in the file (write ${secret:NAME} instead)",
    ),
    # Across files
    Mistake(
        "routes.yaml",
        ROUTES.replace("adt_in", "adtin"),
        "routes.yaml:3:11 error unknown-channel: there is no channel adtin (did you mean adt_in?)",
    ),
    Mistake(
        "routes.yaml",
        ROUTES.replace("events_out", "[events_out, adt_in]"),
        "routes.yaml:5:22 error wrong-direction: adt_in is a source; `to` takes a destination"
        " (see channels/adt_in.yaml)",
    ),
    Mistake(
        "routes.yaml",
        ROUTES.replace("events_out", "[events_out, events_out]"),
        "routes.yaml:5:22 error duplicate-entry: events_out stands twice in to (delete one)",
    ),
    Mistake(
        "routes.yaml",
        ROUTES + ROUTES.removeprefix("routes:\n"),
        "routes.yaml:6:11 error duplicate-name: there are two routes events (first on line 2)",
    ),
    Mistake(
        "routes.yaml",
        ROUTES + "    when: {tpye: ADT*}\n",
        "routes.yaml:6:12 error unknown-key: tpye is no key of a message (did you mean type?)",
    ),
    Mistake(
        "routes.yaml",
        ROUTES + "    when: {wire.: x}\n",
        "routes.yaml:6:12 error unknown-key: wire. needs the name of a fact (wire.tls_client, for example)",
    ),
    Mistake(  # and no word of channels that no route uses
        "routes.yaml",
        "routes: [",
        "routes.yaml:2:1 error yaml-syntax: did not find expected node content",
    ),
    Mistake(
        "channels/spare_out.yaml",
        DESTINATION,
        "channels/spare_out.yaml:1:1 warning unused-channel: no route uses spare_out"
        " (enabled: false puts it out of service)",
    ),
    Mistake(
        "channels/adt_in.yaml",
        TOP + "  port: 9464\n",
        "channels/adt_in.yaml:3:9 error address-taken: 127.0.0.1:9464 is taken by the operators' HTTP listener"
        " (give one of them another port)",
    ),
    # Tables
    Mistake(
        "mapping/wards.csv",
        "code,value\nA,1\nA,2\n",
        "mapping/wards.csv:3:1 error duplicate-code: code A stands here twice (first on line 2)",
    ),
    Mistake(
        "mapping/wards.csv",
        "A;1\n",
        "mapping/wards.csv:1:1 error bad-table: the first line must be code,value (separate columns with commas)",
    ),
    Mistake(
        "mapping/wards.csv",
        'code,value\n"A\nB",1\nC\n',
        "mapping/wards.csv:4:1 error bad-table: this line has no value (code,value)",
    ),
    Mistake(
        "mapping/wards.yaml",
        "A: [1]\n",
        "mapping/wards.yaml:1:4 error bad-table: the value of A must be a text (tables are flat)",
    ),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.code}-{MISTAKES.index(mistake)}")
def test_one_mistake_makes_one_finding_at_its_place(folder: SiteFolder, mistake: Mistake) -> None:
    folder.write(mistake.file, mistake.content)
    assert folder.findings(PW="x") == [mistake.expected]
    assert (folder.load(PW="x").site is None) == (" error " in mistake.expected)


BAD_PATHS = (
    (
        ROUTES + "    when: {PV1-: A}\n",
        "routes.yaml:6:12 error bad-path: PV1- cannot be read in hl7 messages of adt_in",
    ),
    (ROUTES + "    lane: PID-x\n", "routes.yaml:6:11 error bad-path: PID-x cannot be read in hl7 messages of adt_in"),
)


@pytest.mark.parametrize(("routes", "expected"), BAD_PATHS)
def test_a_path_that_the_sources_format_cannot_read(folder: SiteFolder, routes: str, expected: str) -> None:
    (found,) = folder.write("routes.yaml", routes).findings()
    assert found.startswith(expected)


def test_a_destinations_lane_is_a_path_into_what_arrives(folder: SiteFolder) -> None:
    folder.write("channels/events_out.yaml", DESTINATION + "lane: order[0].id\n")
    (found,) = folder.findings()
    assert found.startswith("channels/events_out.yaml:5:7 error bad-path: order[0].id cannot be read in hl7 messages")
    assert "for route events" in found


def test_a_route_with_its_own_lane_does_not_use_the_destinations(folder: SiteFolder) -> None:
    folder.write("channels/events_out.yaml", DESTINATION + "lane: order[0].id\n")
    folder.write("routes.yaml", ROUTES + "    lane: PID-3.1\n")
    assert folder.findings() == []


def test_missing_files(folder: SiteFolder) -> None:
    (folder.folder / "routes.yaml").unlink()
    assert "routes.yaml:1:1 error missing-file: a site needs a routes.yaml (hcsyncd init DIR makes a site)" in (
        folder.findings()
    )


def test_a_secret_in_an_option_that_is_shown(folder: SiteFolder) -> None:
    folder.write("secrets/word", "hunter2\n")
    (folder.folder / "secrets/word").chmod(0o600)
    folder.write("channels/adt_in.yaml", SOURCE + "description: ${secret:word}\n")
    text = "description is shown in status and logs; it cannot hold a secret"
    assert folder.findings() == [f"channels/adt_in.yaml:4:14 error exposed-secret: {text}"]


def test_cases_have_findings_too(folder: SiteFolder) -> None:
    text = (
        "cases:\n  - name: one\n    message: x\n    route: evnets\n    unrouted: true\n  - name: two\n    message: x\n"
    )
    folder.write("channels/adt_in.test.yaml", text)
    assert [str(finding) for finding in load_cases(folder.site()).findings] == [
        "channels/adt_in.test.yaml:4:12 error unknown-route: no route evnets comes from adt_in (did you mean events?)",
        (
            "channels/adt_in.test.yaml:6:5 error bad-value: a case says what is expected: one of expect, dropped,"
            " rejected, failed, parked, unrouted, or acknowledge"
        ),
    ]


def test_every_code_of_the_catalogue_is_tested_here() -> None:
    tested = {mistake.code for mistake in MISTAKES}
    tested |= {"bad-path", "missing-file", "exposed-secret", "unknown-route"}  # by the tests above
    assert tested == set(CODES)

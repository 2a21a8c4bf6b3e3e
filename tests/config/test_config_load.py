"""A good site as it comes out, and what belongs to its generation."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from hcsyncd.config.load import load_daemon, load_site
from hcsyncd.config.model import Acknowledge, Retry, Route
from hcsyncd.options import Options
from tests.fakes.site_folder import (
    DESTINATION,
    ROUTES,
    SOURCE,
    FakeListener,
    FakePoster,
    SiteFolder,
    connector_kinds,
    find_connector,
)

BAD_SITE = Path(__file__).parent / "bad_site"


def poster(folder: SiteFolder, **environment: str) -> FakePoster:
    destination = folder.site(**environment).channels["events_out"].destination
    assert destination is not None
    assert isinstance(destination.options, FakePoster)
    return destination.options


def test_a_good_site_has_no_findings(folder: SiteFolder) -> None:
    loaded = folder.load()
    assert loaded.findings == ()
    site = folder.site()
    assert (site.folder, site.data) == (folder.folder, folder.folder / "var")
    assert list(site.channels) == ["adt_in", "events_out"]


def test_channels_are_typed_by_their_connectors(folder: SiteFolder) -> None:
    folder.write(
        "channels/adt_in.yaml",
        SOURCE + "  allow: 10.0.0.0/8\nacknowledge: delivered\nduplicates: {same_content: process}\n",
    )
    channel = folder.site().channels["adt_in"]
    assert channel.source is not None
    assert channel.destination is None
    assert channel.source.options == FakeListener(port=0, allow=["10.0.0.0/8"])
    assert channel.options.acknowledge is Acknowledge.DELIVERED
    assert channel.options.duplicates.same_content == "process"
    assert channel.file == Path("channels/adt_in.yaml")


def test_only_mllp_implies_a_format(folder: SiteFolder) -> None:
    assert folder.site().channels["adt_in"].format.kind == "hl7"
    folder.write("channels/adt_in.yaml", SOURCE + "format: {kind: text}\n")
    assert folder.site().channels["adt_in"].format.kind == "text"


def test_routes_know_where_they_are_written(folder: SiteFolder) -> None:
    folder.write(
        "routes.yaml", ROUTES + "    when: {type: [ADT^A01, ADT^A0?], PV1-44: true}\n    retry: {cap_secs: 5}\n"
    )
    (route,) = folder.site().routes
    assert isinstance(route, Route)
    assert (route.name, str(route.file), route.line) == ("events", "routes.yaml", 2)
    assert route.places["transform"] == (4, 16)
    assert (route.options.source, route.options.to) == (["adt_in"], ["events_out"])
    assert route.options.when == {"type": ["ADT^A01", "ADT^A0?"], "PV1-44": True}
    assert route.options.retry == Retry(cap_secs=5)


def test_several_sources_and_destinations(folder: SiteFolder) -> None:
    folder.write("channels/siu_in.yaml", SOURCE).write("channels/other_out.yaml", DESTINATION)
    folder.write(
        "routes.yaml",
        ROUTES.replace(" adt_in", " [adt_in, siu_in]").replace(" events_out", "\n    - events_out\n    - other_out"),
    )
    (route,) = folder.site().routes
    assert (route.options.source, route.options.to) == (["adt_in", "siu_in"], ["events_out", "other_out"])


def test_tables_are_kept_to_the_letter(folder: SiteFolder) -> None:
    folder.write("mapping/wards.csv", '\ufeffcode,value,note\r\nA1 ,"Ward, north",x\r\n\r\n"B""2",\r\n')
    folder.write("mapping/classes.yaml", 'I: inpatient\n12: 1.0\n"01": ""\n')
    assert folder.site().tables == {
        "wards": {"A1 ": "Ward, north", 'B"2': ""},
        "classes": {"I": "inpatient", "12": "1.0", "01": ""},
    }


def test_one_name_for_two_tables(folder: SiteFolder) -> None:
    folder.write("mapping/wards.csv", "code,value\n").write("mapping/wards.yaml", "A: B\n")
    assert folder.findings() == [
        "mapping/wards.yaml:1:1 error duplicate-name: there is a mapping/wards.csv too (keep one of the two)"
    ]


def test_no_folder_at_all(tmp_path: Path) -> None:
    loaded = load_site(tmp_path / "none", find_connector, connector_kinds, {})
    assert loaded.site is None
    assert [finding.code for finding in loaded.findings] == ["missing-file"]


def test_an_empty_folder(tmp_path: Path) -> None:
    loaded = load_site(tmp_path, find_connector, connector_kinds, {})
    assert [(finding.file, finding.code) for finding in loaded.findings] == [
        ("channels", "missing-file"),
        ("routes.yaml", "missing-file"),
    ]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_regular_file_is_not_read(folder: SiteFolder, kind: str) -> None:
    path = folder.folder / "hcsyncd.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert folder.findings() == ["hcsyncd.yaml:1:1 error unreadable: this is no regular file"]


def test_a_link_that_leads_nowhere(folder: SiteFolder) -> None:
    (folder.folder / "channels/gone.yaml").symlink_to("nowhere")
    assert folder.findings() == ["channels/gone.yaml:1:1 error missing-file: channels/gone.yaml is not there"]


def test_an_empty_daemon_file_is_fine(folder: SiteFolder) -> None:
    assert folder.write("hcsyncd.yaml", "# all defaults\n").site().daemon.drain_secs == 20


def test_a_faulty_channel_makes_no_findings_at_its_routes(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.yaml", "{").write("channels/events_out.yaml", "{")
    assert [finding.code for finding in folder.load().findings] == ["yaml-syntax", "yaml-syntax"]


def test_two_sources_at_one_address(folder: SiteFolder) -> None:
    listener = "source:\n  kind: mllp\n  host: {}\n  port: 2575\n"
    folder.write("channels/adt_in.yaml", listener.format("127.0.0.1"))
    folder.write("channels/siu_in.yaml", listener.format("0.0.0.0"))
    folder.write("routes.yaml", ROUTES.replace("adt_in", "[adt_in, siu_in]"))
    assert folder.findings() == [
        (
            "channels/siu_in.yaml:4:9 error address-taken: 0.0.0.0:2575 is taken by channel adt_in"
            " (give one of them another port)"
        )
    ]
    folder.write("channels/siu_in.yaml", listener.format("127.0.0.2"))
    assert folder.findings() == []
    folder.write("channels/siu_in.yaml", listener.format("127.0.0.1") + "enabled: false\n")
    assert folder.findings() == []


def test_the_digest_is_that_of_the_generation(folder: SiteFolder) -> None:
    folder.write("transforms/adt.py", "A = 1\n").write("mapping/wards.csv", "code,value\n")
    folder.write("channels/events_out.yaml", DESTINATION + "  token: ${TOKEN}\n")
    first = folder.site(TOKEN="one").digest
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert folder.site(TOKEN="one").digest == first
    digests = {first, folder.site(TOKEN="two").digest}
    for name, content in (
        ("transforms/adt.py", "A = 2\n"),
        ("transforms/sub/other.py", "A = 2\n"),
        ("mapping/wards.csv", "code,value\nA,B\n"),
        ("routes.yaml", ROUTES + "    enabled: false\n"),
        ("hcsyncd.yaml", "drain_secs: 5\n"),
    ):
        digests.add(folder.write(name, content).site(TOKEN="one").digest)
    assert len(digests) == 7
    last = folder.site(TOKEN="one").digest
    folder.write("channels/adt_in.test.yaml", "cases: []\n").write("README.md", "x")
    assert folder.site(TOKEN="one").digest == last


def test_a_connector_may_be_named_alone(tmp_path: Path) -> None:
    class Nothing(Options):
        """No options."""

    folder = SiteFolder(tmp_path)
    folder.write("channels/adt_in.yaml", "source: quiet\nformat: hl7\n")
    loaded = load_site(
        folder.folder,
        lambda kind, role: Nothing if kind == "quiet" else find_connector(kind, role),
        lambda role: [*connector_kinds(role), "quiet"],
        {},
    )
    assert loaded.findings == ()


def test_everything_that_is_wrong_is_said_at_once() -> None:
    loaded = load_site(BAD_SITE, find_connector, connector_kinds, {})
    assert loaded.site is None
    assert "".join(f"{finding}\n" for finding in loaded.findings) == (BAD_SITE / "expected.txt").read_text()


def test_findings_have_a_form_for_machines(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.yaml", SOURCE + "  tiemout_secs: 5\n")
    (finding,) = folder.load().findings
    assert finding.as_json() == {
        "file": "channels/adt_in.yaml",
        "line": 4,
        "column": 3,
        "level": "error",
        "code": "unknown-option",
        "text": "tiemout_secs",
        "hint": "did you mean timeout_secs?",
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("basic: {user: a}", "basic.password is required"),
        ("statuses: [200, many]", "statuses must be a whole number, not many"),
        ("statuses: [200, true]", "statuses must be a whole number, not true"),
        ("headers: [a]", "headers must be a mapping of texts (secrets)"),
        ("attempts: several", "attempts must be a whole number or many, not several"),
        ("method: GET", "method must be one of POST, PUT, not GET"),
        ("token: {a: b}", "token must be a text (a secret)"),
    ],
)
def test_values_are_judged_in_plain_words(folder: SiteFolder, written: str, expected: str) -> None:
    folder.write("channels/events_out.yaml", f"{DESTINATION}  {written}\n")
    (finding,) = folder.load().findings
    assert (finding.text, finding.line) == (expected, 5)


def test_a_numeric_text_in_quotes_is_a_number_where_one_is_wanted(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.yaml", SOURCE.replace("port: 0", 'port: "0"'))
    assert folder.findings() == []


def test_secrets_are_no_part_of_what_is_shown(folder: SiteFolder) -> None:
    folder.write("channels/events_out.yaml", DESTINATION + "  token: ${TOKEN}\n  headers:\n    x-key: k-${TOKEN}\n")
    options = poster(folder, TOKEN="hunter2")
    assert options.token == SecretStr("hunter2")
    assert options.headers["x-key"].get_secret_value() == "k-hunter2"
    assert "hunter2" not in repr(folder.load(TOKEN="hunter2"))


@pytest.mark.parametrize("written", ["token: 0471100", "token: 4711_00", "token: 471100", "token: [471100]"])
def test_a_faulty_secret_is_not_shown(folder: SiteFolder, written: str) -> None:
    folder.write("channels/events_out.yaml", f"{DESTINATION}  {written}\n")
    findings = folder.findings()
    assert any("channels/events_out.yaml:5:10 error" in finding for finding in findings)
    assert not any("4711" in finding for finding in findings)


def test_samples_and_folders_beside_the_channels_are_left_alone(folder: SiteFolder) -> None:
    folder.write("channels/samples/a.yaml", "").write("channels/a.hl7", "").write("channels/README.md", "")
    folder.write("channels/.a.yaml.swp", "").write("mapping/old/a.csv", "").write("mapping/README.md", "")
    assert folder.findings() == []


def test_routes_that_can_be_read_are_given_in_any_case(folder: SiteFolder) -> None:
    folder.write("routes.yaml", ROUTES + "  - name: other\n").write("hcsyncd.yaml", "drain_secs: x\n")
    loaded = folder.load()
    assert loaded.site is None
    assert [route.name for route in loaded.routes] == ["events"]


def test_the_daemons_options_alone(folder: SiteFolder) -> None:
    folder.write("routes.yaml", "{").write("hcsyncd.yaml", "data: ${DATA:-/var/lib/hcsyncd}\n")
    loaded = load_daemon(folder.folder, {})
    assert loaded.options is not None
    assert (loaded.options.data, loaded.findings) == (Path("/var/lib/hcsyncd"), ())
    folder.write("hcsyncd.yaml", "data: 1\n")
    assert [str(finding) for finding in load_daemon(folder.folder, {}).findings] == [
        "hcsyncd.yaml:1:7 error bad-value: data must be a path, not 1"
    ]

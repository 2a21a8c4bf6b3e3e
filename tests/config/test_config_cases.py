"""Cases beside the channels: what is read, and how it is said that something is wrong with them."""

from __future__ import annotations

import pytest

from hcsyncd.config.cases import Case, load_cases
from tests.fakes.site_folder import DESTINATION, ROUTES, SOURCE, SiteFolder

GOOD = """\
cases:
  - name: an admission becomes an event
    message: |
      MSH|^~\\&|A
      PID|||123
    route: events
    expect:
      - to: events_out
        json: {event: admission.created, beds: [1, null]}
        contains: admission
        fields: {event: admission.created, bed: 12, ward: null}
      - to: events_out
        json: null
        body: |
          a
          b
    acknowledge: AA
  - name: kept in a file
    message: {file: samples/test.hl7}
    dropped: "test patient*"
  - {name: nothing leaves, message: "a\\nb", expect: []}
  - {name: unrouted, message: x, unrouted: true}
  - {name: rejected, message: x, rejected: "*"}
  - {name: failed, message: x, failed: unmapped-code}
  - {name: parked, message: x, parked: wards/NEW}
  - {name: answered, message: x, acknowledge: AE}
"""


def cases(folder: SiteFolder, text: str) -> list[Case]:
    loaded = load_cases(folder.write("channels/adt_in.test.yaml", text).site())
    assert loaded.findings == ()
    return list(loaded.cases)


def findings(folder: SiteFolder, text: str, name: str = "adt_in") -> list[str]:
    return [str(finding) for finding in load_cases(folder.write(f"channels/{name}.test.yaml", text).site()).findings]


def test_cases_are_read_with_their_places(folder: SiteFolder) -> None:
    folder.write("channels/samples/test.hl7", b"MSH|\nPID|\r\n\xff")
    first, kept, *others = cases(folder, GOOD)
    assert (first.channel, first.file, first.line, first.column) == ("adt_in", "channels/adt_in.test.yaml", 2, 5)
    assert first.message == b"MSH|^~\\&|A\rPID|||123\r"
    assert (first.route, first.acknowledge) == ("events", "AA")
    assert first.expect is not None
    wanted, second = first.expect
    assert (wanted.to, wanted.line, wanted.checks_json, wanted.body) == ("events_out", 8, True, None)
    assert wanted.json == {"event": "admission.created", "beds": [1, None]}
    assert wanted.contains == ("admission",)
    assert wanted.fields == {"event": "admission.created", "bed": "12", "ward": None}
    assert (second.json, second.checks_json, second.body) == (None, True, b"a\nb\n")
    assert kept.message == b"MSH|\nPID|\r\n\xff"
    assert (kept.dropped, kept.expect, kept.line) == ("test patient*", None, 18)
    assert [
        (case.name, case.expect, case.unrouted, case.rejected, case.failed, case.acknowledge) for case in others
    ] == [
        ("nothing leaves", (), False, None, None, ""),
        ("unrouted", None, True, None, None, ""),
        ("rejected", None, False, "*", None, ""),
        ("failed", None, False, None, "unmapped-code", ""),
        ("parked", None, False, None, None, ""),
        ("answered", None, False, None, None, "AE"),
    ]
    assert [case.parked for case in others if case.parked] == ["wards/NEW"]
    assert others[0].message == b"a\rb"


def test_line_ends_stay_where_the_format_is_not_hl7(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.yaml", SOURCE + "format: text\n")
    (case,) = cases(folder, "cases:\n  - {name: one, message: 'a ${X}', unrouted: true}\n")
    assert case.message == b"a ${X}"


def test_bodies_of_hl7_destinations_end_segments_as_hl7_does(folder: SiteFolder) -> None:
    folder.write("channels/events_out.yaml", DESTINATION.replace("json", "hl7"))
    text = 'cases:\n  - {name: one, message: x, expect: [{to: events_out, body: "MSH\\nPID\\n"}]}\n'
    (case,) = cases(folder, text)
    assert case.expect is not None
    assert case.expect[0].body == b"MSH\rPID\r"


def test_cases_are_no_channels(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.test.yaml", GOOD)
    assert list(folder.site().channels) == ["adt_in", "events_out"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1 error empty-file: channels/adt_in.test.yaml says nothing (it maps `cases` to a list)"),
        ("case: []\n", "1:1 error unknown-option: case (a test file holds one list, `cases`)"),
        ("cases:\n", "1:1 error bad-value: cases must be a list (write `- name: ...` below it)"),
        ("cases:\n  - x\n", "2:5 error bad-value: a case must be a mapping (`- name: ...` and more below)"),
        (
            "cases:\n  - {name: a, message: x, unrouted: true, dropped: x}\n",
            "2:5 error bad-value: a case has one outcome, not dropped and unrouted",
        ),
        (
            "cases:\n  - {name: a, message: {file: no.hl7}, unrouted: true}\n",
            "2:24 error missing-file: channels/no.hl7 is not there (it is looked for beside the test file)",
        ),
        (
            "cases:\n  - {name: a, message: x, unrouted: false}\n",
            "2:37 error bad-value: unrouted must be true, not false",
        ),
        (
            "cases:\n  - {name: a, message: x, acknowledge: OK}\n",
            "2:40 error bad-value: acknowledge must be one of AA, AE, AR, CA, CE, CR, not OK",
        ),
        (
            "cases:\n  - {name: a, message: x, expect: [{to: event_out}]}\n",
            "2:41 error unknown-channel: no route leads from adt_in to event_out (did you mean events_out?)",
        ),
        (
            "cases:\n  - {name: a, message: x, expect: [{to: events_out, filds: {}}]}\n",
            "2:53 error unknown-option: filds (did you mean fields?)",
        ),
    ],
)
def test_one_mistake_makes_one_finding(folder: SiteFolder, text: str, expected: str) -> None:
    found = findings(folder, text)
    assert f"channels/adt_in.test.yaml:{expected}" in found
    assert len(found) == (2 if text.startswith("case:") else 1)


def test_two_cases_of_one_name(folder: SiteFolder) -> None:
    case = "  - {name: a, message: x, unrouted: true}\n"
    assert findings(folder, f"cases:\n{case}{case}") == [
        "channels/adt_in.test.yaml:3:12 error duplicate-name: there are two cases 'a' (first on line 2)"
    ]


def test_cases_of_a_channel_that_is_not_there(folder: SiteFolder) -> None:
    assert findings(folder, "cases: []\n", "adt_inn") == [
        "channels/adt_inn.test.yaml:1:1 error unknown-channel: there is no channel adt_inn (did you mean adt_in?)"
    ]


def test_cases_beside_a_destination(folder: SiteFolder) -> None:
    assert findings(folder, "cases: []\n", "events_out") == [
        (
            "channels/events_out.test.yaml:1:1 error wrong-direction: events_out is a destination"
            " (cases stand beside a source)"
        )
    ]


def test_a_route_narrows_what_can_be_expected(folder: SiteFolder) -> None:
    folder.write("channels/other_out.yaml", DESTINATION)
    other = ROUTES.removeprefix("routes:\n").replace("name: events", "name: other").replace("events_out", "other_out")
    folder.write("routes.yaml", ROUTES + other)
    text = "cases:\n  - {name: a, message: x, route: other, expect: [{to: events_out}]}\n"
    assert findings(folder, text) == [
        (
            "channels/adt_in.test.yaml:2:55 error unknown-channel: no route leads from adt_in to events_out"
            " (known: other_out)"
        )
    ]

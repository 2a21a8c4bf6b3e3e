"""The harness of `hcsyncd test`: a site on disk, its cases, and what is said of each."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from hcsyncd.config.cases import load_cases
from hcsyncd.runtime.cases import CaseResult, run_cases
from hcsyncd.runtime.site import check_site
from tests.fakes.transforms import write_transforms

TRANSFORMS = """
@filter
def real_patient(document, context):
    return not (document["PID-5.1"] or "").startswith("TEST")


@transform
def to_event(document, context):
    if document["PV1-2"] == "O":
        return Drop("outpatients; not wanted")
    if document["PV1-2"] == "B":
        raise Reject("obstetrics goes elsewhere")
    return Out({"patient": document["PID-3.1"], "ward": context.lookup("wards", document["PV1-3.1"] or "")})


@transform
def for_both(document, context):
    return [Out("all"), Out("events only", to="events_out")]


@transform
def loops(document, context):
    while True:
        pass
"""

ROUTES = """
routes:
  - name: events
    from: adt_in
    when: {type: "ADT^A*"}
    filter: t.real_patient
    transform: t.to_event
    to: events_out
  - name: lab
    from: adt_in
    when: {type: "ORU^R01"}
    to: lab_out
  - name: both
    from: adt_in
    when: {type: "SIU^S12"}
    transform: t.for_both
    to: [events_out, lab_out]
  - name: slow
    from: adt_in
    when: {type: "MDM^T02"}
    transform: t.loops
    to: lab_out
"""

FOLDER_OUT = "destination: {kind: folder, folder: out}\n"


class SiteFolder:
    """A small site, to which cases are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_transforms(folder, t=TRANSFORMS)
        self.write("hcsyncd.yaml", "workers: {time_limit_secs: 0.2}\n")
        self.write("routes.yaml", ROUTES)
        self.write("mapping/wards.csv", "code,value\nICU,Intensive care\n")
        self.channel("acknowledge: stored")
        self.write("channels/events_out.yaml", f"format: json\n{FOLDER_OUT}")
        self.write("channels/lab_out.yaml", f"format: hl7\n{FOLDER_OUT}")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def channel(self, acknowledge: str) -> None:
        self.write("channels/adt_in.yaml", f"source: {{kind: mllp, port: 0}}\n{acknowledge}\n")

    def run(self, *cases: str) -> list[CaseResult]:
        """``cases`` are the lines of a case below its name."""
        text = "".join(
            f"  - name: case {number}\n" + indent(dedent(case), "    ") + "\n" for number, case in enumerate(cases, 1)
        )
        self.write("channels/adt_in.test.yaml", f"cases:\n{text}")
        checked = check_site(self.folder, {})
        assert checked.site is not None, [str(finding) for finding in checked.findings]
        loaded = load_cases(checked.site)
        assert loaded.findings == (), [str(finding) for finding in loaded.findings]
        return run_cases(checked.site, loaded.cases)

    def problems(self, *cases: str) -> list[str]:
        return [problem for result in self.run(*cases) for problem in result.problems]


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path)


def message(type_: str = "ADT^A01", patient_class: str = "I", name: str = "DOE", ward: str = "ICU") -> str:
    return dedent(
        f"""
        message: |
          MSH|^~\\&|EHR|GEN|HCSYNCD|GEN|20260101||{type_}|1|P|2.5
          PID|1||123||{name}^J
          PV1|1|{patient_class}|{ward}
        """
    )


def test_cases_that_hold_pass(site: SiteFolder) -> None:
    results = site.run(
        message() + 'acknowledge: AA\nexpect: [{to: events_out, json: {patient: "123", ward: Intensive care}}]',
        message(patient_class="O") + 'dropped: "outpatients*"',
        message(patient_class="O") + 'dropped: "outpatients; not wanted"',
        message(name="TEST") + "dropped: filter t.real_patient",
        message(patient_class="B") + 'rejected: "obstetrics*"',
        message(ward="NEW") + "failed: unmapped-code\nacknowledge: AA",
        message(ward="NEW") + "parked: wards/N*\nacknowledge: AA",
        message("DFT^P03") + "unrouted: true",
        message("ORU^R01") + 'expect: [{to: lab_out, fields: {PID-3.1: "123"}}]',
        message("ORU^R01") + "route: events\nunrouted: true",
        message("MDM^T02") + "failed: transform-timeout",
        message("SIU^S12")
        + "expect: [{to: events_out, body: all}, {to: lab_out, body: all}, {to: events_out, body: events only}]",
        'message: "no HL7"\nfailed: no-msh\nacknowledge: AR',
    )
    assert [str(result) for result in results if not result.passed] == []
    assert len(results) == 13


def test_what_does_not_hold_is_said(site: SiteFolder) -> None:
    assert site.problems(
        message() + "expect: [{to: events_out, json: {patient: '9', ward: Intensive care}}]",
        message() + "dropped: '*'",
        message() + "expect: []",
        message(patient_class="O") + "dropped: 'inpatients*'",
        message(patient_class="O") + "expect: [{to: events_out, contains: x}]",
        message(patient_class="B") + "rejected: 'other*'",
        message(patient_class="B") + "failed: unmapped-code",
        message() + "rejected: '*'",
        message() + "failed: unmapped-code",
        message() + "parked: wards/*",
        message(ward="NEW") + "parked: wards/OLD",
        message() + "unrouted: true",
        message("DFT^P03") + "dropped: '*'",
        message() + "acknowledge: AE",
    ) == [
        "events_out: $.patient is '123', expected '9'",
        "expected to be dropped, but it went to events_out",
        'events_out: 1 leave, expected 0; \'{"patient":"123","ward":"Intensive care"}\'',
        "dropped for 'outpatients; not wanted', expected 'inpatients*'",
        "events_out: 0 leave, expected 1",
        "rejected for 'obstetrics goes elsewhere', expected 'other*'",
        "expected to fail with unmapped-code, but route events failed with rejected: obstetrics goes elsewhere",
        "expected to be rejected, but it went to events_out",
        "expected to fail with unmapped-code, but it went to events_out",
        "expected to wait for a mapping, but it went to events_out",
        "waits for wards/NEW, expected wards/OLD",
        "expected that no route wants it, but it went to events_out",
        "expected to be dropped, but no route wanted it",
        "acknowledged with AA, expected AE",
    ]


def test_a_failure_is_a_problem_of_a_case_that_expects_envelopes(site: SiteFolder) -> None:
    first, second = site.problems(message(ward="NEW") + "expect: [{to: events_out, contains: x}]")
    assert first.startswith("route events failed with unmapped-code: transforms/t.py:")
    assert second == "events_out: 0 leave, expected 1"


@pytest.mark.parametrize("mode", ["processed", "delivered"])
def test_an_acknowledgement_that_waits_tells_of_failures(site: SiteFolder, mode: str) -> None:
    site.channel(f"acknowledge: {mode}")
    assert (
        site.problems(
            message() + "acknowledge: AA",
            message(patient_class="B") + "acknowledge: AE",
            message(ward="NEW") + "acknowledge: AA",
            message(patient_class="O") + "acknowledge: AA",
            message("DFT^P03") + "acknowledge: AA",
        )
        == []
    )


def test_a_result_names_its_place(site: SiteFolder) -> None:
    (passed,) = site.run(message() + "acknowledge: AA")
    assert str(passed) == "channels/adt_in.test.yaml:2:5 passed: case 1"
    (failed,) = site.run(message() + "acknowledge: AR")
    assert str(failed) == ("channels/adt_in.test.yaml:2:5 failed: case 1\n  acknowledged with AA, expected AR")


def test_no_cases_have_no_results(site: SiteFolder) -> None:
    checked = check_site(site.folder, {})
    assert checked.site is not None
    assert run_cases(checked.site, ()) == []

"""The reference site: clean, and its cases hold."""

from functools import cache

import pytest

from hcsyncd.config.cases import Case, load_cases
from hcsyncd.config.model import Site
from hcsyncd.runtime.cases import run_cases
from hcsyncd.runtime.site import check_site
from tests.fakes.tree import ROOT

FEED = {f"ADT^A{number:02}" for number in (1, 2, 3, 4, 8, 11, 12, 13)} | {
    f"SIU^S{number}" for number in (12, 13, 14, 15)
}


@cache
def reference_site() -> Site:
    checked = check_site(ROOT, {})
    assert [str(finding) for finding in checked.findings] == []
    assert checked.site is not None
    return checked.site


@cache
def problems() -> dict[str, tuple[str, ...]]:
    site = reference_site()
    return {result.case.name: result.problems for result in run_cases(site, load_cases(site).cases)}


def cases() -> list[Case]:
    checked = check_site(ROOT, {})
    return list(load_cases(checked.site).cases) if checked.site else []


def test_the_site_and_its_cases_are_without_findings() -> None:
    assert load_cases(reference_site()).findings == ()


@pytest.mark.parametrize("name", [case.name for case in cases()])
def test_case(name: str) -> None:
    assert problems()[name] == ()


def test_the_site_has_the_channels_that_it_is_known_for() -> None:
    channels = reference_site().channels
    assert {name for name, channel in channels.items() if channel.source} == {"adt_in", "adt_files"}
    assert {name for name, channel in channels.items() if channel.destination} == {
        "events_out",
        "relay_out",
        "ward_lists",
    }


def test_every_trigger_of_the_feed_is_an_event() -> None:
    assert set(reference_site().tables["triggers"]) == FEED


def test_both_ward_tables_know_the_same_wards() -> None:
    tables = reference_site().tables
    assert set(tables["wards"]) == set(tables["bed_board"])


@pytest.mark.parametrize("variable", ["ADT_IN_PORT", "RELAY_PORT", "HCSYNCD_HTTP_PORT"])
def test_ports_can_be_moved(variable: str) -> None:
    checked = check_site(ROOT, {variable: "40123"})
    assert checked.site is not None
    assert "40123" in repr((checked.site.channels, checked.site.daemon))

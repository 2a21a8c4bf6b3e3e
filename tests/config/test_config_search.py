"""Declared keys are checked as paths of their channel's own format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.site_folder import DESTINATION, SOURCE, SiteFolder


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path)


def test_keys_are_read(site: SiteFolder) -> None:
    site.write("channels/adt_in.yaml", SOURCE + "keys: {mrn: PID-3.1, visit: PV1-19.1}\n")
    site.write("channels/events_out.yaml", DESTINATION + 'keys:\n  po: "order.lines[*].number"\n')
    channels = site.site().channels
    assert channels["adt_in"].options.keys == {"mrn": "PID-3.1", "visit": "PV1-19.1"}
    assert channels["events_out"].options.keys == {"po": "order.lines[*].number"}


@pytest.mark.parametrize(
    ("keys", "finding"),
    [
        ("keys:\n  mrn: PID.3.1\n", "channels/adt_in.yaml:5:8 error bad-path"),
        ("keys:\n  MRN: PID-3.1\n", "channels/adt_in.yaml:5:8 error bad-name"),
        ("keys: PID-3.1\n", "channels/adt_in.yaml:4:7 error bad-value"),
        ("keys: {mrn: [PID-3.1]}\n", "channels/adt_in.yaml:4:13 error bad-value"),
    ],
)
def test_keys_that_are_not_right_are_told_with_their_place(site: SiteFolder, keys: str, finding: str) -> None:
    site.write("channels/adt_in.yaml", SOURCE + keys)
    (found,) = site.findings()
    assert found.startswith(finding), found


def test_a_path_is_judged_by_the_channels_own_format(site: SiteFolder) -> None:
    site.write("channels/events_out.yaml", DESTINATION + "keys: {mrn: 'order..'}\n")
    (found,) = site.findings()
    assert "cannot be read in json messages (key mrn)" in found

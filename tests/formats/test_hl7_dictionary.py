"""The names of HL7's segments and fields, by the version of a message."""

from __future__ import annotations

import pytest

from hcsyncd.formats.hl7.dictionary import VERSIONS, field_name, nearest, segment_name


@pytest.mark.parametrize(
    ("path", "version", "name"),
    [
        ("PID-3[2].1", "2.5", "Patient identifier list / ID number"),
        ("PID(2)-3.4.1", "2.5.1", "Patient identifier list / Assigning authority / Namespace ID"),
        ("PID-3", "2.3", "Patient ID internal ID"),
        ("PID-8", "2.5", "Administrative sex"),
        ("PID-1", "2.5", "Set ID PID"),
        ("OBX-5.1", "2.5", "Observation value"),  # of any datatype
        ("PID-300", "2.5", ""),
        ("ZBE-1", "2.5", ""),
        ("PID", "2.5", ""),
        ("order.lines[0]", "2.5", ""),
    ],
)
def test_what_stands_at_a_path(path: str, version: str, name: str) -> None:
    assert field_name(path, version) == name


@pytest.mark.parametrize(
    ("said", "served_by"),
    [
        ("2.5", "2.5"),
        ("2.5.1", "2.5.1"),
        ("2.9", "2.8.2"),
        ("2.3.9", "2.3.1"),
        ("", "2.5.1"),
        ("x", "2.5.1"),
        ("1", "2.5.1"),
    ],
)
def test_a_version_nobody_has_tables_of_is_served_by_the_one_before(said: str, served_by: str) -> None:
    assert nearest(said) == served_by


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_its_tables(version: str) -> None:
    assert field_name("MSH-10", version).startswith("Message control ID")


def test_segments_have_names_but_for_a_sites_own() -> None:
    assert segment_name("PID") == "Patient identification"
    assert segment_name("ZBE") == ""

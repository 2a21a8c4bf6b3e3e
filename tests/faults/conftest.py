"""Faults are tried on whole daemons; what was counted is printed, and gathered in a table where one is asked for.

``HCSYNCD_FAULTS=all`` makes the sweeps deep (`make faults`); ``HCSYNCD_FAULT_TABLE`` names a file for the rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.fault_table import Row
from tests.fakes.faulty import Faults
from tests.fakes.moody_receiver import MllpMoody
from tests.fakes.nursery import ForkedDaemon, Nursery
from tests.fakes.road import Road

Travel = Callable[..., Road]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def receiver() -> Iterator[MllpMoody]:
    listening = MllpMoody()
    yield listening
    listening.close()


@pytest.fixture
def road(tmp_path: Path, nursery: Nursery, receiver: MllpMoody) -> Iterator[Travel]:
    """Build a road whose daemon suffers from the faults given; everything is ended after the test."""
    roads: list[Road] = []

    def build(
        to: MllpMoody | None = None, faults: Faults | None = None, files: dict[str, str] | None = None, **out: str
    ) -> Road:
        folder = tmp_path / f"road{len(roads)}"
        roads.append(Road(folder, to or receiver, files, lambda site: ForkedDaemon(nursery, site, faults), **out))
        return roads[-1]

    yield build
    for built in roads:
        built.__exit__()


@pytest.fixture(scope="session")
def deep() -> bool:
    """Whether the sweeps are to be deep."""
    return os.environ.get("HCSYNCD_FAULTS") == "all"


@pytest.fixture
def tell() -> Callable[[Row], None]:
    """Print a row, and add it to the table that is being measured."""

    def add(row: Row) -> None:
        print(f"\n{row}")
        if table := os.environ.get("HCSYNCD_FAULT_TABLE"):
            row.append_to(Path(table))

    return add

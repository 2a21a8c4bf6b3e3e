"""Which bounds hold for a channel, and which contradict one another."""

from __future__ import annotations

import pytest

from hcsyncd.config.keeping import FOR_EVER, Keep, Keeping, KeepingDefaults, contradiction, kept


def test_nothing_given_is_kept_for_ever() -> None:
    bounds = kept(Keeping(), KeepingDefaults())
    assert bounds == {"bodies": FOR_EVER, "answers": FOR_EVER, "metadata": FOR_EVER}
    assert not any(keep.is_bounded for keep in bounds.values())


def test_a_channels_class_stands_whole_in_place_of_the_default() -> None:
    defaults = KeepingDefaults(bodies=Keep(days=30, max_count=10), answers=Keep(days=5))
    assert kept(Keeping(bodies=Keep(max_bytes=100)), defaults) == {
        "bodies": Keep(max_bytes=100),
        "answers": Keep(days=5),
        "metadata": FOR_EVER,
    }


def test_an_empty_class_of_a_channel_is_for_ever() -> None:
    assert kept(Keeping(bodies=Keep()), KeepingDefaults(bodies=Keep(days=30)))["bodies"] == FOR_EVER


@pytest.mark.parametrize(
    ("bodies", "metadata", "contradicts"),
    [
        (Keep(days=30), Keep(days=30), False),
        (Keep(days=30), Keep(), False),
        (Keep(), Keep(max_count=5), True),
        (Keep(max_bytes=5), Keep(days=1), False),
        (Keep(days=31), Keep(days=30), True),
    ],
)
def test_rows_cannot_go_before_their_bodies(bodies: Keep, metadata: Keep, *, contradicts: bool) -> None:
    assert bool(contradiction(kept(Keeping(bodies=bodies, metadata=metadata), KeepingDefaults()))) is contradicts

"""How long what class of data is kept, and what lint says of it."""

from __future__ import annotations

from collections.abc import Mapping

from hcsyncd.options import Options, option


class Keep(Options):
    """The bounds of one class of data. What is beyond any of them goes; with none of them it is kept for ever."""

    days: float | None = option(None, "So long after its arrival.", unit="days", gt=0, example=90)
    max_count: int | None = option(None, "Of so many messages of a channel, the newest.", ge=1, example=1_000_000)
    max_bytes: int | None = option(
        None, "Of the newest messages of a channel, so much.", unit="bytes", ge=1, example=10_000_000_000
    )

    @property
    def is_bounded(self) -> bool:
        return self.days is not None or self.max_count is not None or self.max_bytes is not None


class Keeping(Options):
    """A channel's own bounds; a class that is given stands whole in place of the one in `hcsyncd.yaml`."""

    bodies: Keep | None = option(None, "The bytes that arrived, and those that were sent.")
    answers: Keep | None = option(None, "The replies given to the sender, and what destinations answered to each try.")
    metadata: Keep | None = option(
        None,
        "The rows: a message's facts, its deliveries and their tries. They go after the bodies, and answers with them.",
    )


class KeepingDefaults(Keeping):
    """For all channels that do not say otherwise. Nothing goes that is open, waits for a person, or is part of an open
    replay, however old it is."""

    attempts: int = option(0, "Of so many tries of one delivery, the first and the last ones; 0 keeps them all.", ge=0)
    audit_days: float | None = option(
        None, "So long, the audit log; an entry of it says how far it was cut. Not given: for ever.", unit="days", gt=0
    )
    every_secs: float = option(300.0, "Pause between two runs.", unit="seconds", gt=0)
    reserve_bytes: int = option(
        16 * 1024 * 1024,
        "Free space that stays in the store's file for what comes next; more than that is given back to the disk.",
        unit="bytes",
        ge=0,
    )


CLASSES = ("bodies", "answers", "metadata")
FOR_EVER = Keep()


def kept(own: Keeping, defaults: Keeping) -> Mapping[str, Keep]:
    """The bounds that hold for a channel, by class of data."""
    return {name: getattr(own, name) or getattr(defaults, name) or FOR_EVER for name in CLASSES}


def contradiction(bounds: Mapping[str, Keep]) -> str:
    """What of a channel's bounds can have no effect, "" when all can: rows go after the bodies that they tell of."""
    bodies, metadata = bounds["bodies"], bounds["metadata"]
    if metadata.is_bounded and not bodies.is_bounded:
        return "metadata has a bound and bodies have none: rows stay as long as their bodies"
    if metadata.days is not None and bodies.days is not None and metadata.days < bodies.days:
        return (
            f"metadata is to go after {metadata.days:g} days, bodies after {bodies.days:g}: rows go with their bodies"
        )
    return ""

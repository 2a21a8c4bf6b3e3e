"""How replays go, in `hcsyncd.yaml`."""

from __future__ import annotations

from hcsyncd.options import Options, option


class ReplayOptions(Options):
    """Replays: messages that a person sends again."""

    expire_secs: float = option(
        86_400.0, "How long a plan may be applied after it was made.", unit="seconds", gt=0, le=31_536_000
    )
    under_way: int = option(
        64,
        "Replayed deliveries that may be under way to one destination at once: the rest waits, so that live traffic"
        " goes first.",
        ge=1,
        le=10_000,
    )

"""How a reload watches its first minutes."""

from __future__ import annotations

from hcsyncd.options import Options, option


class ReloadOptions(Options):
    """When a new configuration is given up by itself for the one before."""

    watch_secs: float = option(
        300.0, "How long after a reload its channels are watched; 0 watches none.", unit="seconds", ge=0
    )
    max_error_share: float = option(
        0.2,
        "A channel may fail on this share of its messages more than it did before; past it, the configuration before"
        " comes back.",
        gt=0,
        le=1,
    )
    min_messages: int = option(20, "A channel is judged once so many of its messages came by.", ge=1)

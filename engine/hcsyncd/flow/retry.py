"""When a failed delivery is tried again, and when it is given up: pure arithmetic on the channel's retry options."""

from __future__ import annotations

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.model import Retry


def pause_secs(policy: Retry, attempt: int, retry_after: float | None, chance: float) -> float:
    """Seconds to wait after attempt number ``attempt`` (from 1) failed.

    Exponential from ``first_secs`` by ``factor``, at most ``cap_secs``, jittered by ``chance`` (0 to 1, uniform). The
    other side's own wish (``Retry-After``, RFC 9110 §10.2.3) is honoured when it is longer, up to the cap.
    """
    try:
        grown = policy.first_secs * policy.factor ** (attempt - 1)
    except OverflowError:
        grown = policy.cap_secs
    pause = min(policy.cap_secs, grown) * (1 + policy.jitter * (2 * chance - 1))
    if retry_after is not None and retry_after > pause:
        # Not jittered downwards: coming back before the time asked for is what the other side asked us not to do.
        pause = retry_after
    return min(pause, policy.cap_secs)


def is_exhausted(policy: Retry, attempt: int, tried_secs: float) -> bool:
    """Whether the attempt just made was the last one: by count, or by the seconds that were spent on trying."""
    if policy.attempts and attempt >= policy.attempts:
        return True
    return tried_secs >= policy.give_up_secs


def tried_before_secs(policy: Retry, attempts: int, first_tried_at: int, now: int) -> float:
    """Seconds that an earlier run spent on ``attempts`` attempts, the first of them at ``first_tried_at``.

    By wall time, as nothing else outlives a run; but no more than so many attempts can have taken. What goes beyond
    that is a clock that was set, or a daemon that was off: neither is a reason to give up.
    """
    return min(max(now - first_tried_at, 0) / MICROSECONDS, attempts * policy.cap_secs)

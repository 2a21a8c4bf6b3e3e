"""What a failed attempt means for its delivery: pure but for the jitter."""

from __future__ import annotations

import random

from hcsyncd.errors import Transient, Unsure
from hcsyncd.flow.attempt import Attempt, Policy, Terms
from hcsyncd.flow.retry import is_exhausted, pause_secs
from hcsyncd.message import DeliveryState

LEAST_PAUSE_SECS = 0.001


def judge(terms: Terms, policy: Policy, tried: Attempt, now: float) -> tuple[DeliveryState, float]:
    """Where it leaves its delivery, and the seconds until the next one; ``now`` is on the monotonic clock. What is to
    be asked about once more goes back as sending."""
    retry_after = None
    match tried.result:
        case Transient() as error:
            again, at_last, retry_after = DeliveryState.WAITING, DeliveryState.DEAD, error.retry_after
        case Unsure() if terms.asks:
            again, at_last = DeliveryState.SENDING, DeliveryState.UNSURE
        case Unsure():
            return DeliveryState.UNSURE, 0.0
        case _:
            return DeliveryState.DEAD, 0.0
    if is_exhausted(policy.retry, tried.number, tried.tried_secs(policy.retry, now)):
        return at_last, 0.0
    chance = random.random()  # noqa: S311 - jitter needs no secrecy
    return again, max(pause_secs(policy.retry, tried.number, retry_after, chance), LEAST_PAUSE_SECS)

"""What an HTTP answer means for a delivery: its status (RFC 9110 §15) and its Retry-After (RFC 9110 §10.2.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

from hcsyncd.clock import MICROSECONDS


class Judgement(StrEnum):
    SUCCESS = "success"
    TRANSIENT = "transient"
    REFUSED = "refused"


class StatusRules:
    """Statuses by number (``409``) or by class (``4xx``). A number goes before its class; a status in no list is
    refused. Raises ValueError when a pattern is in two lists."""

    def __init__(self, success: Sequence[str], transient: Sequence[str], refused: Sequence[str]) -> None:
        self._rules: dict[str, Judgement] = {}
        lists = {Judgement.SUCCESS: success, Judgement.TRANSIENT: transient, Judgement.REFUSED: refused}
        for judgement, patterns in lists.items():
            for pattern in patterns:
                if self._rules.setdefault(pattern, judgement) is not judgement:
                    raise ValueError(f"status {pattern} is in {self._rules[pattern]} and in {judgement}: keep one")

    def judge(self, status: int) -> Judgement:
        by_class = self._rules.get(f"{status // 100}xx", Judgement.REFUSED)
        return self._rules.get(str(status), by_class)


def retry_after_secs(value: str, now: int) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from ``now`` (microseconds since the epoch); None
    when there is none or it cannot be read."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now / MICROSECONDS)

from __future__ import annotations

import pytest

from hcsyncd.clock import MICROSECONDS
from hcsyncd.connectors.http_status import Judgement, StatusRules, retry_after_secs

NOON = 1_767_268_800 * MICROSECONDS  # Thu, 01 Jan 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("status", "judgement"),
    [
        (200, Judgement.SUCCESS),
        (299, Judgement.SUCCESS),
        (409, Judgement.SUCCESS),
        (204, Judgement.REFUSED),
        (503, Judgement.TRANSIENT),
        (501, Judgement.REFUSED),
        (404, Judgement.REFUSED),
        (302, Judgement.REFUSED),
    ],
)
def test_number_goes_before_class(status: int, judgement: Judgement) -> None:
    rules = StatusRules(["2xx", "409"], ["5xx"], ["501", "204"])
    assert rules.judge(status) is judgement


def test_status_in_two_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="409 is in success and in refused"):
        StatusRules(["409"], [], ["409"])


@pytest.mark.parametrize(
    ("value", "secs"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 14:00:10 +0200", 10.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("9" * 400, None),
        ("٣", None),
    ],
)
def test_retry_after(value: str, secs: float | None) -> None:
    assert retry_after_secs(value, NOON) == secs

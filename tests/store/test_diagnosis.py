from __future__ import annotations

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.diagnosis import diagnose, is_of_the_machine


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (apsw.FullError("database or disk is full"), "free space where the store lies"),
        (apsw.IOError("disk I/O error"), "look at the disk"),
        (apsw.ReadOnlyError("readonly"), "write permission"),
        (apsw.CorruptError("malformed"), "bring back a backup"),
        (apsw.BusyError("locked"), "only the daemon may write here"),
    ],
)
def test_a_fault_of_the_machine_says_what_to_do(error: apsw.Error, advice: str) -> None:
    assert is_of_the_machine(error)
    text = str(diagnose(error, "storing an arrival"))
    assert text.startswith("storing an arrival failed: ")
    assert advice in text
    assert str(error) in text


def test_an_operations_own_fault_is_told_as_it_is() -> None:
    error = apsw.ConstraintError("UNIQUE constraint failed: message.id")
    assert not is_of_the_machine(error)
    assert str(diagnose(error, "storing")) == "storing failed: UNIQUE constraint failed: message.id"


def test_foreign_texts_stay_out() -> None:
    assert str(diagnose(ValueError("PID|1||4711"), "storing")) == "storing failed: ValueError"


def test_a_store_error_is_passed_on() -> None:
    error = StoreError("message 9 is not in the store")
    assert diagnose(error, "replaying") is error

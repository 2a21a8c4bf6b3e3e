"""How values are sealed at rest. A value says itself whether it is sealed, and under which data key.

Bytes (bodies, replies, answers) are sealed with AES-256-GCM under a random nonce, bound to what they are and to their
row, so that one that was moved to another row does not open::

    F5 "hcs"  01  data key (4 bytes)  nonce (12)  ciphertext and tag
    F5 "hcs"  00  clear bytes that happen to begin with F5 "hcs"

Texts by which rows are found and grouped (lanes, business keys), and what stands beside them (headers, wire facts), are
sealed with AES-SIV, bound to what they are: equal texts stay equal under one data key, and tell nothing else::

    sealed:<data key>:<base64>
    sealed:0:<clear text that happens to begin with "sealed:">

Anything else is clear; what is empty stays so. ``seal(what, ?)`` in a query's row seals what is bound there, and
``unseal(what, column, row)`` or ``unseal(what, column)`` opens bytes or texts; see `hcsyncd.store.queries`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from typing import Any

import apsw
from cryptography.exceptions import InvalidTag

from hcsyncd.errors import StoreError
from hcsyncd.store.keyring import NONCE_BYTES, DataKey, Keyring

BYTES_MARK = b"\xf5hcs"
TEXT_MARK = "sealed:"
_HEADS = frozenset((BYTES_MARK, TEXT_MARK[:4]))
_ESCAPED = BYTES_MARK + b"\x00"
_SEALED = BYTES_MARK + b"\x01"
_NONCE_AT = len(_SEALED) + 4
_CIPHER_AT = _NONCE_AT + NONCE_BYTES

Row = tuple[Any, ...]


class Sealing:
    """Seals and opens the values of one store. In a store without a key it leaves values as they are."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self.keyring = keyring if keyring is not None else Keyring()

    @property
    def is_on(self) -> bool:
        return self.keyring.current is not None

    def register(self, connection: apsw.Connection) -> None:
        """Give a connection the functions that queries with ``unseal`` call for sealed values."""
        open_bytes: Callable[..., Any] = self.open_bytes
        open_text: Callable[..., Any] = self.open_text
        connection.create_scalar_function("unsealed_bytes", open_bytes, 3)
        connection.create_scalar_function("unsealed_text", open_text, 2)

    # Writing

    def seal_rows(self, seals: Sequence[tuple[int, str]], rows: Sequence[Row]) -> Sequence[Row]:
        """The rows with the values at these places sealed; bytes are bound to what a row's first value names."""
        if not self.is_on and not _collides(seals, rows):
            return rows
        sealed = []
        for row in rows:
            values = list(row)
            for place, what in seals:
                value = values[place]
                if isinstance(value, str):
                    values[place] = self.seal_text(what, value)
                elif value is not None:
                    values[place] = self.seal_bytes(what, row[0], value)
            sealed.append(tuple(values))
        return sealed

    def seal_bytes(self, what: str, row: int, value: bytes) -> bytes:
        key = self.keyring.current
        if not value:
            return value
        if key is None:
            return _ESCAPED + value if value.startswith(BYTES_MARK) else value
        head = _SEALED + key.number.to_bytes(4, "big")
        nonce = os.urandom(NONCE_BYTES)
        return head + nonce + key.for_bytes.encrypt(nonce, value, _bound(head, what, row))

    def seal_text(self, what: str, value: str) -> str:
        key = self.keyring.current
        if not value:
            return value
        if key is None:
            return f"{TEXT_MARK}0:{value}" if value.startswith(TEXT_MARK) else value
        return _sealed_text(key, what, value)

    def candidates(self, what: str, value: str) -> list[str]:
        """Every form in which the text may stand in the store, the newest first: to look it up by. One, but for the
        while in which older values are still being sealed anew."""
        keyring = self.keyring
        if not value or not keyring or not keyring.mixed:
            return [self.seal_text(what, value)]
        clear = f"{TEXT_MARK}0:{value}" if value.startswith(TEXT_MARK) else value
        return [*(_sealed_text(key, what, value) for key in keyring.newest_first()), clear]

    # Reading

    def open_value(self, value: bytes | str, what: str, row: int) -> bytes | str:
        """As `open_bytes` or `open_text`, whichever it is."""
        return self.open_text(value, what) if isinstance(value, str) else self.open_bytes(value, what, row)

    def open_bytes(self, value: bytes, what: str, row: int) -> bytes:
        """Raises StoreError when the value was altered, moved, or sealed under a key that is not there."""
        if not value.startswith(BYTES_MARK):
            return value
        if value.startswith(_ESCAPED):
            return value[len(_ESCAPED) :]
        key = self.keyring.key(data_key_of(value))
        try:
            return key.for_bytes.decrypt(
                value[_NONCE_AT:_CIPHER_AT], value[_CIPHER_AT:], _bound(value[:_NONCE_AT], what, row)
            )
        except (InvalidTag, ValueError) as error:
            raise _does_not_open(f"{what} of row {row}") from error

    def open_text(self, value: str, what: str) -> str:
        """As `open_bytes`, for texts."""
        if not value.startswith(TEXT_MARK):
            return value
        number, _, sealed = value[len(TEXT_MARK) :].partition(":")
        if number == "0":
            return sealed
        try:
            key = self.keyring.key(int(number))
            return key.for_texts.decrypt(base64.b64decode(sealed, validate=True), [what.encode()]).decode()
        except (InvalidTag, ValueError) as error:  # binascii.Error is one too
            raise _does_not_open(f"a {what}") from error


def _collides(seals: Sequence[tuple[int, str]], rows: Sequence[Row]) -> bool:
    """Whether a clear value may look as if it were sealed. Asked for each value of a store without a key."""
    for place, _ in seals:
        for row in rows:
            value = row[place]
            if value and value[:4] in _HEADS:
                return True
    return False


def data_key_of(value: bytes | str) -> int:
    """The number of the data key that a value is sealed under; 0 for a clear one."""
    if isinstance(value, bytes):
        return int.from_bytes(value[len(_SEALED) : _NONCE_AT], "big") if value.startswith(_SEALED) else 0
    number = value[len(TEXT_MARK) :].partition(":")[0] if value.startswith(TEXT_MARK) else "0"
    return int(number) if number.isdecimal() else 0


def _sealed_text(key: DataKey, what: str, value: str) -> str:
    sealed = key.for_texts.encrypt(value.encode(), [what.encode()])
    return f"{TEXT_MARK}{key.number}:{binascii.b2a_base64(sealed, newline=False).decode()}"


def _bound(head: bytes, what: str, row: int) -> bytes:
    return head + f"{what}:{row}".encode()


def _does_not_open(what: str) -> StoreError:
    return StoreError(
        f"{what} in the store does not open: it was altered or moved; `hcsyncd store verify --all` says how much is so"
    )


CLEAR = Sealing()

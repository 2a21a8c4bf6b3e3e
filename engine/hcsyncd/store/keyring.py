"""The keys that values are sealed under: data keys, which lie wrapped in the store, and the master key, which does not.

A data key is 256 random bits, wrapped under the master key with AES-256-GCM; its number and the store's name are bound
to it, so that it opens in its own place only. Two keys are derived from it with HKDF-SHA-256 (RFC 5869): one for
AES-256-GCM (NIST SP 800-38D), which seals bytes, and one for AES-SIV (RFC 5297), which seals texts that must stay
comparable. A change of the master key wraps the data keys anew and touches no value.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hcsyncd.errors import StoreError
from hcsyncd.store.queries import QUERIES

KEY_BYTES = 32
LASTING = 0  # the number of the data key that seals no value
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What wraps the data keys. Given to the daemon at its start, never stored."""

    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes | None) -> MasterKey | None:
        """The key, where one is given."""
        return cls(secret) if secret else None

    @property
    def fingerprint(self) -> str:
        """Which key it is, for people and for the store: says nothing of the key itself."""
        return hashlib.sha256(b"hcsyncd master key " + self.secret).hexdigest()[:16]

    def wrap(self, number: int, store: str, secret: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, secret, _place(number, store))

    def unwrap(self, number: int, store: str, wrapped: bytes) -> bytes:
        """Raises StoreError when the key was wrapped by another master key, or was altered."""
        try:
            return AESGCM(self.secret).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _place(number, store))
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"data key {number} of the store does not open with master key {self.fingerprint}: "
                f"the store is damaged or was tampered with; keep a copy of its folder, and bring back a backup"
            ) from error


def _place(number: int, store: str) -> bytes:
    return f"data key {number} of store {store}".encode()


@dataclass(frozen=True, slots=True, eq=False)
class DataKey:
    """What seals values. ``number`` stands in each value that it sealed."""

    number: int
    secret: bytes = field(repr=False)
    for_bytes: AESGCM = field(repr=False)
    for_texts: AESSIV = field(repr=False)

    @classmethod
    def of(cls, number: int, secret: bytes) -> DataKey:
        return cls(number, secret, AESGCM(_derived(secret, b"bytes", 32)), AESSIV(_derived(secret, b"texts", 64)))

    @classmethod
    def make(cls, number: int) -> DataKey:
        return cls.of(number, os.urandom(KEY_BYTES))


def _derived(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=b"hcsyncd " + purpose).derive(secret)


class Keyring:
    """The data keys of an open store. Every method may be called from any thread."""

    def __init__(
        self,
        keys: Iterable[DataKey] = (),
        *,
        mixed: bool = False,
        master: MasterKey | None = None,
        lasting: bytes = b"",
    ) -> None:
        """``mixed``: some values are clear, or sealed under a key that is not the newest; once so, it stays so until
        the store is closed, as a long read may see it as it was. ``lasting`` is data key 0, which seals no value and is
        never replaced."""
        self._keys = {key.number: key for key in keys}
        self.current = self._keys[max(self._keys)] if self._keys else None
        self.mixed = mixed
        self.master = master
        self._lasting = lasting

    def __bool__(self) -> bool:
        return self.current is not None

    def lasting(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, as for the chain of the audit log: the same as long as the store
        lives, whatever is rotated. Empty in a store without a key."""
        return _derived(self._lasting, purpose.encode(), KEY_BYTES) if self._lasting else b""

    def key(self, number: int) -> DataKey:
        """Raises StoreError for a key that is not there."""
        key = self._keys.get(number)
        if key is None:
            raise StoreError(
                f"a value of the store is sealed under data key {number}, which is not there: "
                f"the store is damaged; `hcsyncd store verify` says where"
            )
        return key

    def newest_first(self) -> list[DataKey]:
        return [self._keys[number] for number in sorted(self._keys, reverse=True)]

    def add(self, key: DataKey) -> None:
        """Seal under a new key from now on. The old ones stay, for what they sealed."""
        self.mixed = True
        self._keys = {**self._keys, key.number: key}
        self.current = key


def open_keyring(connection: apsw.Connection, master: MasterKey | None, store: str) -> Keyring:
    """The keys of a store, as they lie in it. Raises StoreError when they are not to be had with this master key."""
    rows: list[Any] = connection.execute(QUERIES["data_keys"].text).fetchall()
    if not rows:
        return Keyring(master=master)
    wanted = rows[-1][1]
    where = (
        "name it in hcsyncd.yaml, `encryption: {key: ${secret:store_key}}`, "
        "with the key in the file secrets/store_key of the site, or as the systemd credential store_key"
    )
    if master is None:
        raise StoreError(f"the store is sealed with key {wanted}, and no key is given: {where}")
    if master.fingerprint != wanted:
        raise StoreError(f"the store is sealed with key {wanted}, and key {master.fingerprint} is given: {where}")
    secrets = {number: master.unwrap(number, store, wrapped) for number, _, wrapped, _ in rows}
    mixed = bool(connection.execute(QUERIES["resealing_parts"].text).fetchall())
    keys = [DataKey.of(number, secret) for number, secret in secrets.items() if number != LASTING]
    return Keyring(keys, mixed=mixed, master=master, lasting=secrets[LASTING])

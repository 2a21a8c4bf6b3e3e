"""Encryption at rest: where the store's master key comes from."""

from __future__ import annotations

import base64
import re

from pydantic import SecretStr, field_validator

from hcsyncd.options import Options, option

KEY_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")


class EncryptionOptions(Options):
    """`encryption` of `hcsyncd.yaml`."""

    key: SecretStr = option(
        SecretStr(""),
        "The master key of the store: 32 bytes in base64 or hexadecimal, as `hcsyncd store make-key` writes it. Given, "
        "bodies, replies, answers, business keys, lanes, headers and wire facts are sealed on disk, and the store opens"
        " with this key only. Empty: they lie there as they came.",
        example="${secret:store_key}",
    )

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        read_key(key.get_secret_value())
        return key

    @property
    def secret(self) -> bytes | None:
        """The key itself; None where none is given."""
        return read_key(self.key.get_secret_value())


def read_key(text: str) -> bytes | None:
    """The 32 bytes that a text says in base64 or hexadecimal; None for an empty one. Raises ValueError, which never
    shows the text."""
    text = text.strip()
    if not text:
        return None
    try:
        secret = bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error is one too; its text would hold what was written
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError("is not 32 bytes in base64 or hexadecimal: `hcsyncd store make-key` writes one that is")
    return secret


def write_key(secret: bytes) -> str:
    """The key as its file holds it."""
    return base64.b64encode(secret).decode()

"""HTTP authentication with shared secrets: Basic (RFC 7617) and Bearer (RFC 6750), to give and to check."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from pydantic import SecretStr

from hcsyncd.options import Options, option


class BasicLogin(Options):
    """A user and a password."""

    user: str = option(..., "User name.", min_length=1, pattern="^[^:]+$")
    password: SecretStr = option(..., "Password.")

    def header(self) -> str:
        """The value of the Authorization header."""
        pair = f"{self.user}:{self.password.get_secret_value()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


def bearer_header(token: str) -> str:
    """The value of the Authorization header."""
    return f"Bearer {token}"


class LoginCheck:
    """Whom a listener lets in: the holder of the login or of one of the tokens; anybody when there are none."""

    def __init__(self, basic: BasicLogin | None, bearer_tokens: Sequence[SecretStr]) -> None:
        self._basic = b"" if basic is None else _basic_pair(basic.header())
        self._tokens = [token.get_secret_value().encode() for token in bearer_tokens]
        challenges = ['Basic realm="hcsyncd", charset="UTF-8"'] if self._basic else []
        self.challenge = ", ".join(challenges + (['Bearer realm="hcsyncd"'] if self._tokens else []))

    def passes(self, authorization: str) -> bool:
        """Judge an Authorization header, "" for none, in a time that does not tell how much of a secret was right."""
        if not self.challenge:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic" and self._basic:
            return hmac.compare_digest(_basic_pair(authorization), self._basic)
        if scheme.lower() == "bearer" and self._tokens:
            presented = given.strip().encode("utf-8", "surrogateescape")
            # Every token is compared, so that the time does not tell which one it was.
            matches = [hmac.compare_digest(presented, token) for token in self._tokens]
            return any(matches)
        return False


def _basic_pair(header: str) -> bytes:
    """``user:password`` of a Basic header; b"" when it is not base64, which no login equals."""
    try:
        return base64.b64decode(header.partition(" ")[2].strip().encode("utf-8", "surrogateescape"), validate=True)
    except (binascii.Error, ValueError):
        return b""

"""A mail server on loopback (RFC 5321), with STARTTLS (RFC 3207) or TLS from the start, and a login (RFC 4954)."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
from email.message import EmailMessage


class SmtpServer:
    """Keeps the mails that it took. ``refusing`` is the answer to every MAIL while it is set."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, tls_first: bool = False, login: str = "") -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[str] = []
        self.refusing = ""
        self.port = 0
        self._tls = tls
        self._tls_first = tls_first
        self._login = login
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        context = self._tls if self._tls_first else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._sessions.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured, known = self._tls_first, not self._login

        async def say(*lines: str) -> None:
            writer.write("".join(f"{line}\r\n" for line in lines).encode())
            await writer.drain()

        await say("220 mail.test ready")
        while line := (await reader.readline()).decode().strip():
            word = line.split(" ")[0].upper()
            match word:
                case "EHLO":
                    more = ["STARTTLS"] if self._tls and not secured else []
                    more += ["AUTH PLAIN"] if self._login and secured else []
                    offers = ["mail.test", *more, "8BITMIME"]
                    await say(*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}")
                case "STARTTLS" if self._tls is not None:
                    await say("220 go on")
                    await writer.start_tls(self._tls)
                    secured = True
                case "AUTH":
                    given = base64.b64decode(line.split(" ")[2]).decode().lstrip("\0").replace("\0", ":")
                    self.logins.append(given)
                    known = given == self._login
                    await say("235 welcome" if known else "535 who are you")
                case "MAIL" if self.refusing or not known:
                    await say(self.refusing or "530 log in first")
                case "DATA":
                    await say("354 go on")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(email.message_from_bytes(raw[:-3], policy=email.policy.default))
                    await say("250 taken")
                case "QUIT":
                    await say("221 bye")
                    return
                case _:
                    await say("250 ok")

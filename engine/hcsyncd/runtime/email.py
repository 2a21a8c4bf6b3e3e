"""Notices by mail (RFC 5321, RFC 5322): what comes together goes as one."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.alerts import EmailOptions
from hcsyncd.runtime.notices import Notice, SinkError
from hcsyncd.runtime.webhook import trusting

SUBJECT_CHARACTERS = 150


class Email:
    """Sends, each mail over a connection of its own and in a thread."""

    name = "email"

    def __init__(self, options: EmailOptions, site: Path) -> None:
        self._options = options
        self._site = site
        self.gather_secs = options.gather_secs

    async def send(self, notices: Sequence[Notice]) -> int:
        await asyncio.to_thread(self._send, written(notices, self._options))
        return len(notices)

    async def close(self) -> None:
        return

    def _send(self, mail: EmailMessage) -> None:
        options = self._options
        try:
            with self._connected() as server:
                if options.user:
                    server.login(options.user, options.password.get_secret_value())
                server.send_message(mail)
        except smtplib.SMTPAuthenticationError as error:
            raise SinkError(f"the mail server refused the login ({error.smtp_code})") from error
        except smtplib.SMTPRecipientsRefused as error:
            raise SinkError(f"the mail server refused {', '.join(error.recipients)}") from error
        except smtplib.SMTPResponseException as error:
            raise SinkError(f"the mail server answered {error.smtp_code}") from error
        except ssl.SSLCertVerificationError as error:
            raise SinkError("the mail server's certificate is not trusted") from error
        except smtplib.SMTPException as error:
            raise SinkError(f"the mail server does not do as it must: {type(error).__name__}") from error
        except TimeoutError as error:
            raise SinkError(f"no answer within {options.timeout_secs:g} s") from error
        except OSError as error:
            raise SinkError(f"cannot connect: {error.strerror or type(error).__name__}") from error

    def _connected(self) -> smtplib.SMTP:
        options = self._options
        if options.security == "tls":
            context = trusting(options.ca, self._site)
            return smtplib.SMTP_SSL(options.host, options.port, timeout=options.timeout_secs, context=context)
        server = smtplib.SMTP(options.host, options.port, timeout=options.timeout_secs)
        try:
            if options.security == "starttls":
                server.starttls(context=trusting(options.ca, self._site))
        except BaseException:
            server.close()
            raise
        return server


def written(notices: Sequence[Notice], options: EmailOptions) -> EmailMessage:
    """The mail that tells of them all."""
    first = notices[0]
    mail = EmailMessage()
    mail["From"] = options.sender
    mail["To"] = ", ".join(options.to)
    mail["Date"] = formatdate(first.at / MICROSECONDS, localtime=True)
    mail["Message-ID"] = make_msgid(domain=options.sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday note answers
    more = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
    mail["Subject"] = _one_line(f"[hcsyncd {first.host}] {first.line}")[: SUBJECT_CHARACTERS - len(more)] + more
    mail.set_content("\n".join(_paragraph(notice) for notice in notices) + f"\n-- \n{first.site} on {first.host}\n")
    return mail


def _paragraph(notice: Notice) -> str:
    alert = notice.alert
    at = formatdate(alert.raised_at / MICROSECONDS, localtime=True)
    owner = f"\n  owner: {alert.owner}" if alert.owner else ""
    return f"{_one_line(notice.line)}\n  since: {at}{owner}\n  alert: {alert.id}\n"


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)

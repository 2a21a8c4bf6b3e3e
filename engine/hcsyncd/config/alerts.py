"""What is worth an alert, who is told, and how. A bound of 0 means: never."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

from pydantic import SecretStr, field_validator, model_validator

from hcsyncd.config.hours import FORM, Hours
from hcsyncd.options import Options, option

_URL = re.compile(r"https?://[^\s/]+")


class WebhookOptions(Options):
    """An HTTP listener that is told of alerts: one POST with a JSON object for each."""

    url: SecretStr = option(
        ...,
        "Where to post. Many chat systems put a key into it, so it counts as a secret.",
        example="${secret:webhook}",
    )
    secret: SecretStr = option(
        SecretStr(""),
        "Signs each post: `X-Hcsyncd-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA-256 of `<seconds>.<body>`.",
    )
    headers: dict[str, SecretStr] = option(default_factory=dict, doc="More headers.")
    ca: str = option(
        "", "Certificates, PEM, of the authorities that vouch for it; relative to the site. Empty: the system's."
    )
    timeout_secs: float = option(10.0, "For one post.", unit="seconds", gt=0)

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: SecretStr) -> SecretStr:
        if not _URL.match(url.get_secret_value()):
            msg = "write it as https://host/path"
            raise ValueError(msg)
        return url


class EmailOptions(Options):
    """A mail server that takes alerts. Several at once go as one mail."""

    host: str = option(..., "The mail server.", example="mail.hospital.example")
    port: int = option(587, "Its port: 587 for submission, 25 for a relay, 465 with `security: tls`.", ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = option(
        "starttls", "`starttls` (RFC 3207) and `tls` (RFC 8314) check the server's certificate; `none` is in the clear."
    )
    user: str = option("", "To log in with. Empty: no login.")
    password: SecretStr = option(SecretStr(""), "Its password.")
    sender: str = option(..., "The address that mails come from.", alias="from", example="hcsyncd@hospital.example")
    to: list[str] = option(..., "Who gets them.", min_length=1, example=["integration@hospital.example"])
    ca: str = option(
        "", "Certificates, PEM, of the authorities that vouch for it; relative to the site. Empty: the system's."
    )
    gather_secs: float = option(10.0, "How long a mail waits for others to go with it.", unit="seconds", ge=0, le=600)
    timeout_secs: float = option(30.0, "For one mail.", unit="seconds", gt=0)

    @field_validator("sender", "to")
    @classmethod
    def _is_one_line(cls, value: str | list[str]) -> str | list[str]:
        addresses = [value] if isinstance(value, str) else value
        if any("@" not in address or re.search(r"[\s,;]", address) for address in addresses):
            msg = "write one address as name@host"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _login_is_not_in_the_clear(self) -> EmailOptions:
        if self.user and self.security == "none":
            msg = "a login needs security: starttls or tls: the password would be sent in the clear"
            raise ValueError(msg)
        return self


def _checked_hours(text: str | None) -> str | None:
    if text:
        Hours.parse(text)
    return text


class ChannelAlertOptions(Options):
    """A channel's own bounds; what is not given is as `alerts` of `hcsyncd.yaml` says."""

    queue_age_secs: float | None = option(None, "Destinations: age of the oldest open delivery.", unit="seconds", ge=0)
    queue_depth: int | None = option(None, "Destinations: open deliveries.", ge=0)
    down_secs: float | None = option(None, "How long it may be down.", unit="seconds", ge=0)
    error_share: float | None = option(None, "Failures among so much of its traffic.", ge=0, le=1)
    dead_letters: int | None = option(None, "So many dead letters.", ge=0)
    unsure: int | None = option(
        None, "Destinations: so many deliveries of which it is not known whether they arrived.", ge=0
    )
    parked: int | None = option(None, "Destinations: so many deliveries that wait for a mapping.", ge=0)
    silent_after_secs: float | None = option(None, "Sources: nothing came for so long.", unit="seconds", ge=0)
    hours: str | None = option(
        None,
        f"Sources: when something is expected to come, in local time: {FORM}. Empty: always.",
        example="Mon-Fri 07:00-19:00",
    )

    _hours = field_validator("hours")(_checked_hours)


class AlertOptions(Options):
    """What raises an alert, for the daemon and for all channels that do not say otherwise; 0 means never."""

    owner: str = option("", "Who is named in alerts of channels without an `owner`, and of the daemon itself.")
    look_secs: float = option(5.0, "How often everything is judged.", unit="seconds", gt=0, le=3600)
    for_secs: float = option(
        60.0,
        "A condition must hold for so long before it is an alert, and be gone for so long before that is cleared: what"
        " flaps is one alert.",
        unit="seconds",
        ge=0,
    )
    remind_secs: float = option(
        14_400.0, "An open alert that nobody has acknowledged is told again; 0: told once.", unit="seconds", ge=0
    )
    queue_age_secs: float = option(900.0, "Age of a destination's oldest open delivery.", unit="seconds", ge=0)
    queue_depth: int = option(10_000, "Open deliveries of a destination.", ge=0)
    down_secs: float = option(300.0, "How long a source or destination may be down.", unit="seconds", ge=0)
    error_share: float = option(
        0.2, "Failures among a source's messages, or among a destination's attempts, in the last minutes.", ge=0, le=1
    )
    error_window_secs: float = option(300.0, "How far back failures are counted.", unit="seconds", gt=0)
    error_min_count: int = option(20, "With less traffic than this in that time, nothing is said of a share.", ge=1)
    dead_letters: int = option(1, "So many dead letters of a channel.", ge=0)
    overdue: bool = option(default=True, doc="Dead letters, unsure deliveries and tasks that should be settled by now.")
    unsure: int = option(1, "So many deliveries of a destination of which it is not known whether they arrived.", ge=0)
    parked: int = option(1, "So many deliveries of a destination that wait for a mapping.", ge=0)
    silent_after_secs: float = option(0.0, "Nothing came from a source for so long.", unit="seconds", ge=0)
    hours: str = option("", f"When something is expected to come, in local time: {FORM}. Empty: always.")
    disk_free_bytes: int = option(
        1024 * 1024 * 1024, "Less free space than this on the store's disk.", unit="bytes", ge=0
    )
    certificate_days: float = option(
        30.0, "A certificate of ours, or one that a peer has shown, expires within so many days.", unit="days", ge=0
    )
    workers_lost: int = option(5, "Worker processes lost within `error_window_secs`.", ge=0)
    clock_jump_secs: float = option(
        5.0, "The wall clock moved by more than this against the monotonic clock.", unit="seconds", gt=0
    )
    clock_settle_secs: float = option(
        600.0,
        "How long a jump forward must stand before alerts and retention believe it; an acknowledgement of the alert is"
        " believed at once.",
        unit="seconds",
        ge=0,
    )
    webhook: WebhookOptions | None = option(None, "An HTTP listener that is told.")
    email: EmailOptions | None = option(None, "A mail server that is told.")

    _hours = field_validator("hours")(_checked_hours)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds that hold for one channel."""

    queue_age_secs: float
    queue_depth: int
    down_secs: float
    error_share: float
    dead_letters: int
    unsure: int
    parked: int
    silent_after_secs: float
    hours: str


def bounds_for(own: ChannelAlertOptions, defaults: AlertOptions) -> Bounds:
    """What a channel says, and where it says nothing, what the daemon does."""
    given = {field.name: getattr(own, field.name) for field in fields(Bounds)}
    return Bounds(**{name: getattr(defaults, name) if value is None else value for name, value in given.items()})

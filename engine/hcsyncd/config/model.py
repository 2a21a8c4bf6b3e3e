"""A site as typed configuration: what `hcsyncd.yaml`, `channels/*.yaml` and `routes.yaml` may say.

Connector and format options are typed by their own descriptors; here they are the options already validated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hcsyncd.config.alerts import AlertOptions, ChannelAlertOptions
from hcsyncd.config.dead_letters import DeadLetterOptions, TaskOptions
from hcsyncd.config.keeping import Keeping, KeepingDefaults
from hcsyncd.config.reloading import ReloadOptions
from hcsyncd.config.replays import ReplayOptions
from hcsyncd.config.sealing import EncryptionOptions
from hcsyncd.options import Options, option

SomeTexts = Annotated[list[str], Field(min_length=1)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMany = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
"""A list of texts; a single one may be written without the brackets."""


class Acknowledge(StrEnum):
    """When a source's sender is told that its message is taken over."""

    STORED = "stored"
    PROCESSED = "processed"
    DELIVERED = "delivered"


class Duplicates(Options):
    """What to do with a message that came before: same sender and same control id (HL7: MSH-3, MSH-4, MSH-10)."""

    same_content: Literal["answer", "process"] = option(
        "answer", "`answer` gives the original acknowledgement again and processes nothing; `process` takes it as new."
    )
    changed_content: Literal["accept", "refuse"] = option(
        "refuse",
        "The same control id with other content: `refuse` answers reject and keeps it as a dead letter, `accept`"
        " takes it as new. Both raise an event.",
    )


class Retry(Options):
    """How a failed delivery is tried again: exponential back-off with jitter and a cap, then the dead letters."""

    first_secs: float = option(1.0, "Pause after the first failure.", unit="seconds", gt=0)
    factor: float = option(2.0, "Each pause is the one before times this.", ge=1)
    cap_secs: float = option(60.0, "No pause is longer, whatever the other side asks for.", unit="seconds", gt=0)
    jitter: float = option(0.2, "Each pause is made up to this share longer or shorter, by chance.", ge=0, le=1)
    give_up_secs: float = option(
        86_400.0, "From the first attempt; after that the delivery is a dead letter.", unit="seconds", ge=0
    )
    attempts: int = option(0, "After so many attempts the delivery is a dead letter; 0 sets no limit.", ge=0)


class OnDead(StrEnum):
    """What becomes of the rest of a lane when one of its deliveries is a dead letter, or is parked."""

    CONTINUE = "continue"
    HOLD = "hold"


class ChannelOptions(Options):
    """One file of `channels/`, without its connector and format, which are typed by their kind."""

    description: str = option("", "For people: what this endpoint is, and who owns it.")
    enabled: bool = option(default=True, doc="false takes the channel out of service; what is queued for it stays.")
    acknowledge: Acknowledge = option(
        Acknowledge.STORED,
        "Sources: when the sender gets its acknowledgement: the message is on disk (`stored`), has been through its"
        " transforms (`processed`), or has been taken by every destination (`delivered`).",
    )
    duplicates: Duplicates = option(Duplicates(), "Sources: what to do with a message that came before.")
    lane: str = option(
        "",
        "Destinations: what must stay in order. Empty: everything. Else a path into the arriving message"
        " (`PID-3.1`): deliveries with the same value stay in order, others run in parallel.",
    )
    keys: dict[str, str] = option(
        default_factory=dict,
        doc="What messages are found by (`hcsyncd find`): a name for each path of the channel's own format. Sources:"
        " read in what arrives; destinations: in what is made for them. Values are kept, and sealed with the bodies.",
        example={"mrn": "PID-3.1", "visit": "PV1-19.1"},
    )
    window: int = option(
        1,
        "Destinations: deliveries of one lane that may be under way at once. Above 1, a delivery that fails is sent"
        " again after the ones behind it that were under way.",
        ge=1,
        le=1000,
    )
    concurrency: int = option(8, "Destinations: lanes that may be sending at once.", ge=1, le=1000)
    after_crash: Literal["resend", "hold", "ask"] = option(
        "resend",
        "Destinations: a delivery that was under way when the daemon was killed is sent again with the same idempotency"
        " key (`resend`); or each is noted on disk before it is sent, and then waits for a person (`hold`), or the"
        " other side is asked whether it has it, as it is after a lost answer (`ask`: folder, and http with `ask`).",
    )
    retry: Retry = option(Retry(), "Destinations: how a failed delivery is tried again.")
    on_dead: OnDead = option(OnDead.CONTINUE, "Destinations: whether a lane goes on behind a dead letter.")
    on_parked: OnDead = option(
        OnDead.CONTINUE, "Destinations: whether a lane goes on behind a delivery that waits for its mapping."
    )
    retention: Keeping = option(Keeping(), "Sources: how long what of its messages is kept.")
    owner: str = option("", "Who takes care of its dead letters. Empty: as `dead_letters` of hcsyncd.yaml says.")
    alerts: ChannelAlertOptions = option(ChannelAlertOptions(), "What of it is worth an alert, where that differs.")


class RouteOptions(Options):
    """One entry of `routes.yaml`."""

    name: str = option(..., "Unique; shown wherever a delivery is shown.", pattern=r"^[a-z][a-z0-9_]*$")
    description: str = option("", "For people.")
    enabled: bool = option(default=True, doc="false takes the route out of service.")
    source: OneOrMany = option(..., "The source channel, or several.", alias="from", min_length=1)
    when: dict[str, str | SomeTexts | bool] = option(
        default_factory=dict,
        doc="All must hold. Keys are `type`, `sender`, `receiver`, `control_id`, `wire.<fact>` or a path into the"
        " message; a value is a text, a pattern with `*` and `?`, a list of those (any of them), true (is there) or"
        " false (is not).",
    )
    filter: str = option("", "A filter function, as `file.function` of `transforms/`.")
    transform: str = option(
        "", "A transform, as `file.function` of `transforms/`. Empty: the bytes go on as they came."
    )
    to: OneOrMany = option(..., "The destination channel, or several.", min_length=1)
    lane: str | None = option(None, "Instead of the destination channel's lane.")
    retry: Retry | None = option(None, "Instead of the destination channel's retry.")
    on_dead: OnDead | None = option(None, "Instead of the destination channel's on_dead.")
    on_parked: OnDead | None = option(None, "Instead of the destination channel's on_parked.")


class WorkerOptions(Options):
    """The processes that run filters and transforms."""

    count: int = option(2, "Worker processes.", ge=1, le=64)
    batch: int = option(64, "Messages handed to a worker at once.", ge=1, le=1000)
    time_limit_secs: float = option(5.0, "For one message on one route.", unit="seconds", gt=0)
    memory_limit_bytes: int = option(
        512 * 1024 * 1024,
        "What the transforms of one worker may take, beyond the interpreter itself.",
        unit="bytes",
        ge=64 * 1024 * 1024,
    )


class HttpOptions(Options):
    """The operators' HTTP listener: `/metrics`, `/healthz`, `/readyz`."""

    enabled: bool = option(default=True, doc="Whether to listen at all.")
    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(9464, "Port to listen on; 0 takes any free one.", ge=0, le=65535)


class LogOptions(Options):
    """The daemon's log, on standard error. Bodies and secrets never reach it."""

    level: Literal["debug", "info", "warning", "error"] = option("info", "The least level that is written.")
    format: Literal["auto", "text", "json"] = option("auto", "`auto` is text on a terminal, JSON elsewhere.")


class DaemonOptions(Options):
    """`hcsyncd.yaml`: daemon-wide, every line optional."""

    data: Path = option(Path("var"), "Folder of the store and the control socket, relative to the site.")
    workers: WorkerOptions = option(WorkerOptions(), "The processes that run filters and transforms.")
    http: HttpOptions = option(HttpOptions(), "The operators' HTTP listener.")
    log: LogOptions = option(LogOptions(), "The log.")
    encryption: EncryptionOptions = option(EncryptionOptions(), "Encryption of what is stored.")
    replays: ReplayOptions = option(ReplayOptions(), "Messages that a person sends again.")
    reload: ReloadOptions = option(ReloadOptions(), "How a reload watches its first minutes.")
    drain_secs: float = option(20.0, "How long a stop may take before sends are cut off.", unit="seconds", ge=0)
    alerts: AlertOptions = option(AlertOptions(), "What is worth an alert, and who is told.")
    dead_letters: DeadLetterOptions = option(DeadLetterOptions(), "Dead letters and unsure deliveries.")
    tasks: TaskOptions = option(TaskOptions(), "Codes that lookup tables do not know.")
    retention: KeepingDefaults = option(
        KeepingDefaults(), "How long what is kept, for channels that do not say otherwise; nothing given: for ever."
    )
    min_free_bytes: int = option(
        256 * 1024 * 1024, "With less free disk, intake is refused with a negative acknowledgement.", unit="bytes", ge=0
    )
    event_loop: Literal["uvloop", "asyncio"] = option("uvloop", "uvloop, or the standard library's loop.")


SOURCE_ONLY = frozenset({"acknowledge", "duplicates", "retention"})
DESTINATION_ONLY = frozenset({"lane", "window", "concurrency", "after_crash", "retry", "on_dead", "on_parked"})
"""Options of a channel that do nothing in the other direction."""


@dataclass(frozen=True, slots=True)
class Part:
    """A connector's or a format's configuration: its kind and its validated options."""

    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class Channel:
    """One endpoint: a source or a destination, its format, and its rules."""

    name: str
    file: Path  # relative to the site
    format: Part
    options: ChannelOptions
    source: Part | None = None
    destination: Part | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One way from sources to destinations, with the place it is written at."""

    options: RouteOptions
    file: Path  # relative to the site
    line: int
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    """Line and column of each option's value, by the name that is written."""

    @property
    def name(self) -> str:
        return self.options.name


@dataclass(frozen=True, slots=True)
class Site:
    """All of a site's configuration: one generation. Immutable; a reload makes another."""

    folder: Path
    daemon: DaemonOptions
    channels: dict[str, Channel]
    routes: tuple[Route, ...]  # in the order of routes.yaml
    tables: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)  # mapping/
    digest: str = ""  # of every file read, transforms included: two equal digests are the same generation
    transforms: str = ""  # the digest of the transforms alone
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)  # all that were read, by name

    @property
    def data(self) -> Path:
        return self.folder / self.daemon.data

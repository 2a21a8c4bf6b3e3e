"""Every configuration that was live, with its files."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from hcsyncd.record import Record


class ConfigurationOutcome(StrEnum):
    """What became of a configuration."""

    STARTING = "starting"  # a reload is about to bring it to life
    LIVE = "live"
    SUPERSEDED = "superseded"  # another came after it
    REVERTED = "reverted"  # given up for the one before, because messages failed under it
    SAVED = "saved"  # never live: files that a rollback was about to overwrite


class NewConfiguration(Record, frozen=True):
    """A configuration to be kept. ``files`` are whole, by name, with their references unresolved."""

    digest: str
    author: str
    reason: str
    files: Mapping[str, bytes]
    outcome: ConfigurationOutcome = ConfigurationOutcome.STARTING
    changes: tuple[str, ...] = ()


class ConfigurationRow(Record, frozen=True):
    """A configuration as it is listed: no files."""

    number: int
    digest: str
    began_at: int
    ended_at: int  # 0: it has not
    author: str
    reason: str
    outcome: ConfigurationOutcome
    why: str  # of the outcome
    changes: tuple[str, ...]  # in words, against what was live before


class Queued(Record, frozen=True):
    """What a change of the configuration would reach."""

    messages: Mapping[str, int]  # received and not routed, by source channel
    deliveries: Mapping[tuple[str, str, str], int]  # not settled, by route, destination and state


class ConfigurationHistory(Protocol):
    """Used by the daemon's start and reload, and by the operator's commands. Numbers rise and go on over restarts."""

    def add(self, new: NewConfiguration) -> Future[int]:
        """Keep a configuration before anything is made by it; its number."""
        ...

    def settle(self, number: int, outcome: ConfigurationOutcome, why: str = "") -> Future[None]:
        """Record what became of it. When one is live, the one that was is superseded."""
        ...

    def drop(self, number: int) -> Future[None]:
        """Forget a configuration that never came to life."""
        ...

    async def rows(self, before: int = 0, limit: int = 100) -> list[ConfigurationRow]:
        """The newest first, below number ``before`` where it is given."""
        ...

    async def row(self, number: int) -> ConfigurationRow | None: ...

    async def last(self) -> ConfigurationRow | None:
        """The one that is live, or was when the daemon last ended."""
        ...

    async def recent_states(self) -> list[tuple[str, str, int]]:
        """(channel, state, count) of the latest arrivals by source channel and of the latest deliveries by
        destination channel."""
        ...

    async def queued(self) -> Queued:
        """What waits or needs a person, by what it hangs on."""
        ...

    async def files(self, number: int) -> dict[str, bytes]:
        """Its files by name; none for a number that is not known."""
        ...

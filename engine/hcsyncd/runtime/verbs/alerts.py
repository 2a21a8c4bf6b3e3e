"""Alerts, to be seen and acknowledged."""

from __future__ import annotations

from hcsyncd.runtime.alert_rules import AlertKind
from hcsyncd.runtime.alerting import Alerting
from hcsyncd.runtime.steady_clock import SteadyClock
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import Alert, Alerts


class AlertHistory(Request, frozen=True):
    """Which of all alerts, the newest first."""

    kind: str = ""
    subject: str = ""
    before_id: int = 0
    limit: int = 100


class Acknowledge(Request, frozen=True):
    """Which alert somebody looks after."""

    id: int
    note: str = ""


class AlertVerbs:
    """``alerts.list``, ``alerts.history``, ``alerts.acknowledge``, ``alerts.test``."""

    def __init__(self, alerting: Alerting, store: Alerts, clock: SteadyClock) -> None:
        self._alerting = alerting
        self._store = store
        self._clock = clock

    def verbs(self) -> Verbs:
        return {
            "alerts.list": Verb(Request, self.list_open),
            "alerts.history": Verb(AlertHistory, self.history),
            "alerts.acknowledge": Verb(Acknowledge, self.acknowledge, Access.CHANGES),
            "alerts.test": Verb(Request, self.test, Access.CHANGES),
        }

    async def list_open(self, _asked: Request, _caller: Caller) -> list[Alert]:
        return self._alerting.open

    async def history(self, asked: AlertHistory, _caller: Caller) -> list[Alert]:
        return await self._store.history(
            before_id=asked.before_id, kind=asked.kind, subject=asked.subject, limit=asked.limit
        )

    async def acknowledge(self, asked: Acknowledge, caller: Caller) -> Alert:
        alert = await self._alerting.acknowledge(asked.id, caller.name, asked.note)
        if alert.kind == AlertKind.CLOCK_JUMP:
            self._clock.confirm()
        return alert

    async def test(self, _asked: Request, caller: Caller) -> dict[str, str]:
        """By sink, why the notice was not taken; "" when it was. The log is always told."""
        return await self._alerting.test(caller.name)

"""Alerts as state: raised once when a condition has held for long enough, reminded of, cleared once when it is gone.

What is open is kept in the store, and taken up from it at the start: a restart raises nothing again. When the store
fails, alerts go on in memory and are kept as soon as it is back: its failing is one of them.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.config.alerts import AlertOptions
from hcsyncd.errors import ControlError, StoreError
from hcsyncd.events import AlertAcknowledged, AlertCleared, AlertRaised, AlertReminded, AlertsFailed, Event
from hcsyncd.runtime.alert_rules import AlertKind, Condition, Readings, judge
from hcsyncd.runtime.notices import Notice, SinkQueue
from hcsyncd.store.ports import Alert, Alerts

Key = tuple[str, str]  # kind, subject


class Alerting:
    """Looks again and again. Belongs to the event loop; every change of an alert goes through here."""

    def __init__(
        self,
        store: Alerts,
        options: AlertOptions,
        look: Callable[[], Awaitable[Readings]],
        sinks: Sequence[SinkQueue],
        site: str,
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._options = options
        self._look = look
        self._sinks = sinks
        self._site = site
        self._emit = emit
        self._clock = clock
        self._open: dict[Key, Alert] = {}
        self._unkept: list[Alert] = []  # cleared, and the store could not be told yet
        self._dirty: set[Key] = set()  # open, and the store does not have them as they are
        # On the monotonic clock: a wall clock that jumps must neither raise, remind nor clear.
        self._holds_since: dict[Key, float] = {}
        self._gone_since: dict[Key, float] = {}
        self._told_at: dict[Key, float] = {}
        self._failed = False
        self._turn = asyncio.Lock()  # a look and a person's word come one after the other

    @property
    def open(self) -> list[Alert]:
        """The open alerts, the oldest first."""
        return sorted(self._open.values(), key=lambda alert: (alert.raised_at, alert.id))

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """How many are open of every kind there is."""
        counts: dict[tuple[str, ...], float] = {(kind.value,): 0.0 for kind in AlertKind}
        for kind, _ in self._open:
            counts[kind,] = counts.get((kind,), 0.0) + 1
        return counts

    # Life

    async def load(self) -> None:
        """Take up what is open in the store."""
        now, wall = self._clock.monotonic(), self._clock.now()
        for alert in await self._store.open():
            key = (alert.kind, alert.subject)
            self._open[key] = alert
            # As long ago as was told, and at most one reminder's time: a clock that was set tells of nothing twice.
            ago = (wall - max(alert.raised_at, alert.reminded_at)) / MICROSECONDS
            self._told_at[key] = now - min(max(ago, 0.0), self._options.remind_secs)

    async def run(self) -> None:
        """Look as often as the options say, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # a defect here must not end the daemon; its text might hold data
                self._fail(f"{type(error).__name__} in the alerts")
            await asyncio.sleep(self._options.look_secs)

    async def look(self) -> None:
        """Judge everything once."""
        async with self._turn:
            try:
                readings = await self._look()
            except StoreError as error:
                self._fail(str(error))
                return
            await self._apply(judge(readings, self._options))
            await self._keep_all()

    # A person's word

    async def acknowledge(self, alert_id: int, user: str, note: str) -> Alert:
        """Somebody looks after it: it stays open and is not told again. Raises ControlError when it is not open, and
        StoreError when that cannot be kept."""
        async with self._turn:
            found = next((alert for alert in self._open.values() if alert_id and alert.id == alert_id), None)
            if found is None:
                known = ", ".join(str(alert.id) for alert in self.open) or "none"
                raise ControlError(f"there is no open alert {alert_id}; open are: {known}")
            taken = replace(found, acknowledged_at=self._clock.now(), acknowledged_by=user, note=note)
            await self._store.put(taken)
            self._open[found.kind, found.subject] = taken
            self._emit(AlertAcknowledged(taken.id, taken.kind, taken.subject, user))
            return taken

    async def test(self, user: str) -> dict[str, str]:
        """Send a word to every sink now; by sink, why it was not taken, "" when it was."""
        alert = Alert("test", "", self._options.owner, f"a test, asked for by {user}", self._clock.now())
        notice = self._notice("test", alert)
        reasons = await asyncio.gather(*(sink.tell(notice) for sink in self._sinks))
        return {sink.name: reason for sink, reason in zip(self._sinks, reasons, strict=True)}

    # Judging

    async def _apply(self, conditions: Sequence[Condition]) -> None:
        now = self._clock.monotonic()
        found: dict[Key, Condition] = {}
        for condition in conditions:
            found.setdefault((condition.kind.value, condition.subject), condition)
        for key, condition in found.items():
            if key in self._open:
                self._go_on(key, condition, now)
            elif not condition.keeps:
                await self._consider(key, condition, now)
        for key in self._holds_since.keys() - {key for key, condition in found.items() if not condition.keeps}:
            del self._holds_since[key]
        for key in [key for key in self._open if key not in found]:
            await self._let_go(key, now)

    async def _consider(self, key: Key, condition: Condition, now: float) -> None:
        since = self._holds_since.setdefault(key, now)
        wanted = self._options.for_secs if condition.for_secs is None else condition.for_secs
        if now - since < wanted:
            return
        del self._holds_since[key]
        alert = Alert(key[0], key[1], condition.owner, condition.text, self._clock.now())
        self._open[key] = alert
        self._told_at[key] = now
        await self._keep(key)
        alert = self._open[key]
        self._emit(AlertRaised(alert.kind, alert.subject, alert.owner, alert.text))
        self._tell("raised", alert)

    def _go_on(self, key: Key, condition: Condition, now: float) -> None:
        self._gone_since.pop(key, None)
        alert = self._open[key]
        if not condition.keeps:  # what is shown is how it stands now; the store has it with the next reminder
            alert = self._open[key] = replace(alert, text=condition.text, owner=condition.owner)
        if not self._options.remind_secs or alert.acknowledged_at or condition.keeps:
            return
        if now - self._told_at.get(key, now) >= self._options.remind_secs:
            alert = replace(alert, reminded_at=self._clock.now(), reminders=alert.reminders + 1)
            self._open[key] = alert
            self._told_at[key] = now
            self._dirty.add(key)
            self._emit(AlertReminded(alert.kind, alert.subject, alert.owner, alert.text, self._age(alert)))
            self._tell("reminded", alert)

    async def _let_go(self, key: Key, now: float) -> None:
        if now - self._gone_since.setdefault(key, now) < self._options.for_secs:
            return
        del self._gone_since[key]
        self._told_at.pop(key, None)
        self._dirty.discard(key)
        alert = replace(self._open.pop(key), cleared_at=self._clock.now())
        self._unkept.append(alert)
        self._emit(AlertCleared(alert.kind, alert.subject, alert.owner, self._age(alert)))
        self._tell("cleared", alert)

    def _age(self, alert: Alert) -> float:
        return max(0.0, ((alert.cleared_at or self._clock.now()) - alert.raised_at) / MICROSECONDS)

    # Keeping and telling

    async def _keep_all(self) -> None:
        while self._unkept:
            if not await self._put(self._unkept[0]):
                return
            self._unkept.pop(0)
        for key in sorted(self._dirty):
            await self._keep(key)

    async def _keep(self, key: Key) -> None:
        self._dirty.add(key)
        # The one before of the same kind must be closed in the store first: there is one open alert at most.
        if any((alert.kind, alert.subject) == key for alert in self._unkept):
            return
        if alert_id := await self._put(self._open[key]):
            self._open[key] = replace(self._open[key], id=alert_id)
            self._dirty.discard(key)

    async def _put(self, alert: Alert) -> int:
        """The id under which the store has it; 0 when it could not be kept now."""
        try:
            alert_id = await self._store.put(alert)
        except StoreError as error:
            self._fail(str(error))
            return 0
        self._failed = False
        return alert_id

    def _fail(self, error: str) -> None:
        if not self._failed:
            self._failed = True
            self._emit(AlertsFailed(error))

    def _tell(self, what: str, alert: Alert) -> None:
        notice = self._notice(what, alert)
        for sink in self._sinks:
            sink.put(notice)

    def _notice(self, what: str, alert: Alert) -> Notice:
        return Notice(what, alert, platform.node(), self._site, self._clock.now())

"""Where events go: from whoever emits one to everybody who listens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from traceback import extract_tb

from hcsyncd.events import Event

Subscriber = Callable[[Event], None]


class EventBus:
    """Fans events out, in the order of subscription, on the caller's own stack. Not to be called from other threads
    than the event loop's: subscribers keep plain counters."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers
        self._reported: set[Subscriber] = set()

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers = (*self._subscribers, subscriber)

    def emit(self, event: Event) -> None:
        """Hand an event to every subscriber. One that raises is reported once on standard error, and harms no
        other."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:
                self._report(subscriber, event, error)

    def _report(self, subscriber: Subscriber, event: Event, error: Exception) -> None:
        if subscriber in self._reported:
            return
        self._reported.add(subscriber)
        place = extract_tb(error.__traceback__)[-1]
        sys.stderr.write(
            f"hcsyncd: a subscriber of events failed on {type(event).__name__}: {type(error).__name__}"
            f" at {place.filename}:{place.lineno}; further failures of it are not reported\n"
        )

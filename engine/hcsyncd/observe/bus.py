"""Where events go: from whoever emits one to everybody who listens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from traceback import extract_tb

from hcsyncd.events import Event

Subscriber = Callable[[Event], None]
Interest = Callable[[type[Event]], bool]  # whether a subscriber wants to hear of this kind of event; asked once a kind


class EventBus:
    """Fans events out, in the order of subscription, on the caller's own stack. Not to be called from other threads
    than the event loop's: subscribers keep plain counters."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers: list[tuple[Subscriber, Interest]] = [(subscriber, _everything) for subscriber in subscribers]
        self._audiences: dict[type[Event], tuple[Subscriber, ...]] = {}  # who hears of each kind that was emitted
        self._reported: set[Subscriber] = set()

    def subscribe(self, subscriber: Subscriber, wants: Interest | None = None) -> None:
        """``wants`` must always say the same of one kind. Left out: everything."""
        self._subscribers.append((subscriber, wants or _everything))
        self._audiences.clear()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """What is being emitted may still reach it. ValueError when it is not subscribed."""
        before = len(self._subscribers)
        self._subscribers = [(known, wants) for known, wants in self._subscribers if known != subscriber]
        if len(self._subscribers) == before:
            raise ValueError("this subscriber is not subscribed")
        self._audiences.clear()

    def emit(self, event: Event) -> None:
        """Hand an event to every subscriber. One that raises is reported once on standard error, and harms no
        other."""
        kind = type(event)
        audience = self._audiences.get(kind)
        if audience is None:
            audience = tuple(subscriber for subscriber, wants in self._subscribers if wants(kind))
            self._audiences[kind] = audience
        for subscriber in audience:
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


def _everything(_: type[Event]) -> bool:
    return True

"""How the other side fares, judged by the attempts made at it, and the events that tell of them."""

from __future__ import annotations

from collections.abc import Callable

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.errors import DeliveryError, Refused
from hcsyncd.events import (
    DeliveryDelayed,
    DeliveryDied,
    DeliverySent,
    DeliveryUnsure,
    DestinationFailed,
    DestinationRecovered,
    Event,
)
from hcsyncd.flow.attempt import Attempt
from hcsyncd.message import DeliveryState


class Health:
    """One destination's. ``on_recovered`` is called when it takes something again after failures."""

    def __init__(
        self, destination: str, emit: Callable[[Event], None], clock: Clock, on_recovered: Callable[[], None]
    ) -> None:
        self.error = ""  # why the last attempt failed, while attempts fail
        self._destination = destination
        self._emit = emit
        self._clock = clock
        self._on_recovered = on_recovered
        self._failing_since = 0.0

    def sent(self, tried: Attempt) -> None:
        """The other side took a delivery."""
        self._there()
        delivery = tried.delivery
        send_seconds = (tried.ended_at - tried.started_at) / MICROSECONDS
        total_seconds = (tried.ended_at - delivery.created_at) / MICROSECONDS
        self._emit(DeliverySent(*self._names(tried), tried.number, send_seconds, total_seconds))

    def failed(self, tried: Attempt, error: DeliveryError, state: DeliveryState, pause: float) -> None:
        """It did not, which leaves the delivery in ``state``, to be tried again after ``pause`` seconds."""
        names, text = self._names(tried), str(error)
        match state:
            case DeliveryState.WAITING | DeliveryState.SENDING:
                self._away(error.reason, text)
                self._emit(DeliveryDelayed(*names, tried.number, error.reason, text, pause))
            case DeliveryState.UNSURE:
                self._emit(DeliveryUnsure(*names, error.reason))
            case _:
                if isinstance(error, Refused):
                    self._there()  # and has said no
                self._emit(DeliveryDied(*names, tried.number, error.reason, text))

    def _names(self, tried: Attempt) -> tuple[str, str, int, int]:
        delivery = tried.delivery
        return self._destination, delivery.route, delivery.id, delivery.message_id

    def _away(self, cause: str, text: str) -> None:
        self.error = text
        if not self._failing_since:
            self._failing_since = self._clock.monotonic()
            self._emit(DestinationFailed(self._destination, cause, text))

    def _there(self) -> None:
        if self._failing_since:
            seconds = self._clock.monotonic() - self._failing_since
            self._failing_since = 0.0
            self.error = ""
            self._emit(DestinationRecovered(self._destination, seconds))
            self._on_recovered()

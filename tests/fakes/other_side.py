"""What stands behind the desk's verbs in place of a node: destinations that can be asked, channels that can be held."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hcsyncd.errors import SourceError
from hcsyncd.message import Delivery, Envelope, MessageState, Sent
from hcsyncd.store.ports import HoldKind

Answer = Sent | None | Exception


class ScriptedOtherSide:
    """``answers`` says what a destination has, by message id; without an answer it has nothing. ``mute`` destinations
    cannot be asked. What it was told is kept in ``stands``, ``requeued``, ``released`` and ``held``."""

    def __init__(self, sources: Sequence[str] = ("adt_in",), destinations: Sequence[str] = ("relay_out",)) -> None:
        self.answers: dict[int, Answer] = {}
        self.asked: list[str] = []  # idempotency keys
        self.mute: set[str] = set()
        self.stands: list[tuple[int, MessageState]] = []
        self.requeued: list[Delivery] = []
        self.released: list[tuple[str, str, int]] = []
        self.held: set[tuple[HoldKind, str]] = set()
        self.broken: set[str] = set()  # sources that do not start
        self.on_hold: Callable[[], None] = lambda: None
        self._sources = sources
        self._destinations = destinations

    async def ask(self, envelope: Envelope) -> Sent | None:
        self.asked.append(envelope.idempotency_key)
        answer = self.answers.get(envelope.message_id)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asked_at(self, destination: str) -> ScriptedOtherSide | None:
        return None if destination in self.mute else self

    def settled(self, message_id: int, state: MessageState, text: str) -> None:
        assert isinstance(text, str)
        self.stands.append((message_id, state))

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        self.requeued += deliveries

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        self.released.append((destination, lane, delivery_id))

    def holdable(self, kind: HoldKind) -> Sequence[str]:
        return self._destinations if kind is HoldKind.DELIVERY else self._sources

    async def hold(self, kind: HoldKind, channel: str) -> None:
        self.on_hold()
        self.held.add((kind, channel))

    async def resume(self, kind: HoldKind, channel: str) -> None:
        self.held.discard((kind, channel))
        if channel in self.broken:
            raise SourceError(f"channel {channel}: the address is taken")

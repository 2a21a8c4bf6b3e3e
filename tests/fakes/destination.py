"""A destination whose every answer is written down beforehand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from hcsyncd.message import Envelope, Sent


class ScriptedDestination:
    """Gives each delivery (by its message's id) the answers of its script, one an attempt, and then takes it.

    ``started`` and ``taken`` list the message ids in the order in which sends began and succeeded. While ``gate`` is
    cleared, sends stay under way.
    """

    def __init__(self) -> None:
        self.script: defaultdict[int, list[Exception]] = defaultdict(list)
        self.started: list[int] = []
        self.taken: list[int] = []
        self.keys: list[str] = []
        self.under_way = 0
        self.most_under_way = 0
        self.probes = 0
        self.away: Exception | None = None  # what a probe meets with; None: it goes through
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_send: Callable[[Envelope], None] = lambda _envelope: None

    def will(self, message_id: int, *answers: Exception) -> None:
        self.script[message_id] += answers

    async def probe(self) -> str:
        self.probes += 1
        if self.away:
            raise self.away
        return "there"

    async def send(self, envelope: Envelope) -> Sent:
        self.started.append(envelope.message_id)
        self.keys.append(envelope.idempotency_key)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.on_send(envelope)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.under_way -= 1
        answers = self.script[envelope.message_id]
        if answers:
            raise answers.pop(0)
        self.taken.append(envelope.message_id)
        return Sent(b"taken", "AA")

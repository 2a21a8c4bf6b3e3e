"""How much of a store each channel takes, counted in blocks of messages, so that a count goes on where it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from hcsyncd.config.keeping import Keep
from hcsyncd.store.ports import Data, Kept, Retention, Volume

BLOCK = 4096  # message ids
UNSTEADY_BLOCKS = 4  # the newest: messages in them are still on their way, and are counted again each time


class Volumes:
    """What is kept, by channel and class of data, as it was counted last."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._blocks: dict[int, Volume] = {}

    def forget(self, message_ids: Iterable[int] | None = None) -> None:
        """Count the blocks of these messages anew, or everything."""
        if message_ids is None:
            self._blocks.clear()
            return
        for block in {message_id // BLOCK for message_id in message_ids}:
            self._blocks.pop(block, None)

    async def count(self, go_on: Callable[[], Awaitable[bool]]) -> bool:
        """Count what is not counted yet, the newest first, while ``go_on`` says so; whether all is counted."""
        newest = await self._retention.newest() // BLOCK
        for block in range(newest, -1, -1):
            if block in self._blocks and block <= newest - UNSTEADY_BLOCKS:
                continue
            if not await go_on():
                return False
            self._blocks[block] = await self._retention.volume(block * BLOCK - 1, block * BLOCK + BLOCK - 1)
        return True

    @property
    def found(self) -> set[tuple[str, Data]]:
        """The channels and classes that something is kept of."""
        return {place for volume in self._blocks.values() for place in volume}

    def total(self, channel: str, data: Data) -> Kept:
        found = [volume[channel, data] for volume in self._blocks.values() if (channel, data) in volume]
        return Kept(sum(kept.messages for kept in found), sum(kept.bytes for kept in found))

    async def below(self, channel: str, data: Data, keep: Keep) -> int:
        """The id under which a channel's messages are more than the newest that ``keep`` wants; 0: they are not."""
        messages = size = 0
        for block in sorted(self._blocks, reverse=True):
            kept = self._blocks[block].get((channel, data), Kept())
            if _fits(keep, messages + kept.messages, size + kept.bytes):
                messages, size = messages + kept.messages, size + kept.bytes
                continue
            for message_id, own in await self._retention.sizes(
                channel, data, block * BLOCK - 1, block * BLOCK + BLOCK - 1
            ):
                messages, size = messages + 1, size + own
                if not _fits(keep, messages, size):
                    return message_id + 1
        return 0


def _fits(keep: Keep, messages: int, size: int) -> bool:
    return (keep.max_count is None or messages <= keep.max_count) and (keep.max_bytes is None or size <= keep.max_bytes)

"""What the commands that find and explain ask of the running daemon, beside `runtime.live.Live`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.flow.keys import KeyReader, key_readers
from hcsyncd.flow.lane import LaneFacts
from hcsyncd.formats.format import Format
from hcsyncd.runtime.live import ChannelStatus
from hcsyncd.runtime.node import Node
from hcsyncd.runtime.survey import channel_statuses
from hcsyncd.runtime.waiting import Road


class Lookout(Road, Protocol):
    """The live site and its road, to be looked at."""

    def channels(self) -> Sequence[ChannelStatus]: ...

    def route_names(self) -> Sequence[str]: ...

    def key_names(self) -> Sequence[str]:
        """Names of the business keys that channels declare."""
        ...

    def key_readers(self) -> Mapping[str, KeyReader]:
        """The readers of the channels, sources and destinations, that declare business keys."""
        ...

    def form_of(self, channel: str) -> Format | None:
        """The format of a source or a destination; None when the live site has no such channel."""
        ...


class NodeLookout:
    """The lookout on a running node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def channels(self) -> Sequence[ChannelStatus]:
        return channel_statuses(self._node)

    def route_names(self) -> Sequence[str]:
        return [route.name for route in self._node.generation.site.routes]

    def key_names(self) -> Sequence[str]:
        channels = self._node.generation.site.channels.values()
        return sorted({name for channel in channels for name in channel.options.keys})

    def key_readers(self) -> Mapping[str, KeyReader]:
        generation = self._node.generation
        return key_readers(generation.site.channels, generation.formats)

    def form_of(self, channel: str) -> Format | None:
        return self._node.generation.formats.get(channel)

    def lane_facts(self, destination: str, lane: str, delivery_id: int) -> LaneFacts | None:
        out = self._node.ways_out.get(destination)
        return out.dispatcher.lane_facts(lane, delivery_id) if out else None

    def is_under_way(self, channel: str, message_id: int) -> bool:
        way = self._node.ways_in.get(channel)
        return way.processor.backlog.is_under_way(message_id) if way else False

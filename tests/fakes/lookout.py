"""The live site as the commands that find and explain see it, scripted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hcsyncd.flow.keys import KeyReader
from hcsyncd.flow.lane import LaneFacts
from hcsyncd.formats.format import Format
from hcsyncd.formats.hl7.format import Hl7Format, Hl7Options
from hcsyncd.formats.json_document import JsonFormat, JsonOptions
from hcsyncd.runtime.live import ChannelStatus, Live


@dataclass
class ScriptedLookout:
    """Knows the channels of a live side; everything else is set by the test."""

    live: Live
    lanes: dict[tuple[str, str], LaneFacts] = field(default_factory=dict)
    under_way: set[int] = field(default_factory=set)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)  # paths by name, by channel

    def channels(self) -> Sequence[ChannelStatus]:
        return self.live.channels()

    def route_names(self) -> Sequence[str]:
        return list(self.live.routes())

    def key_names(self) -> Sequence[str]:
        return sorted({name for paths in self.keys.values() for name in paths})

    def key_readers(self) -> Mapping[str, KeyReader]:
        forms = {channel: self.form_of(channel) for channel in self.keys}
        return {channel: KeyReader(form, self.keys[channel]) for channel, form in forms.items() if form}

    def form_of(self, channel: str) -> Format | None:
        if channel.startswith("adt"):
            return Hl7Format(Hl7Options())
        return JsonFormat(JsonOptions()) if channel.endswith("_out") else None

    def lane_facts(self, destination: str, lane: str, delivery_id: int) -> LaneFacts | None:
        return self.lanes.get((destination, lane), LaneFacts())

    def is_under_way(self, channel: str, message_id: int) -> bool:
        return message_id in self.under_way

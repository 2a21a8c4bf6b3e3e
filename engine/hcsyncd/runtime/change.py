"""What a reload changes: the difference of two sites, as sets to act on and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hcsyncd.config.model import Channel, Site


@dataclass(frozen=True, slots=True)
class Change:
    """From one site to another. A channel is rebuilt when its connector or format changed; where only its rules did, a
    listener keeps its connections."""

    old: Site
    new: Site

    @property
    def added_sources(self) -> list[Channel]:
        return [channel for name, channel in sources(self.new).items() if name not in sources(self.old)]

    @property
    def added_destinations(self) -> list[Channel]:
        return [channel for name, channel in destinations(self.new).items() if name not in destinations(self.old)]

    @property
    def removed_sources(self) -> list[str]:
        return [name for name in sources(self.old) if name not in sources(self.new)]

    @property
    def removed_destinations(self) -> list[str]:
        return [name for name in destinations(self.old) if name not in destinations(self.new)]

    @property
    def rebuilt_sources(self) -> list[Channel]:
        return [
            channel
            for name, channel in sources(self.new).items()
            if (was := sources(self.old).get(name)) and is_rebuilt(was, channel)
        ]

    @property
    def rebuilt_destinations(self) -> list[Channel]:
        return [
            channel
            for name, channel in destinations(self.new).items()
            if (was := destinations(self.old).get(name)) and is_rebuilt(was, channel)
        ]

    def words(self) -> tuple[str, ...]:
        """The change in lines; none when the files say what is already running."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        old, new = in_service(self.old), in_service(self.new)
        yield from (f"channel {name}: added" for name in new if name not in old)
        yield from (
            f"channel {name}: removed; what is queued for it is still delivered" for name in old if name not in new
        )
        for name, channel in new.items():
            if name in old and (what := _channel_change(old[name], channel)):
                yield f"channel {name}: {what}"
        old_routes = {route.name: route.options for route in self.old.routes}
        new_routes = {route.name: route.options for route in self.new.routes}
        yield from (f"route {name}: added" for name in new_routes if name not in old_routes)
        yield from (f"route {name}: removed" for name in old_routes if name not in new_routes)
        for name, options in new_routes.items():
            if name in old_routes and options != old_routes[name]:
                fields = [
                    key for key in type(options).model_fields if getattr(options, key) != getattr(old_routes[name], key)
                ]
                yield f"route {name}: changed ({', '.join(fields)})"
        names = sorted(self.old.tables.keys() | self.new.tables.keys())
        for table in (name for name in names if self.old.tables.get(name) != self.new.tables.get(name)):
            yield f"mapping table {table}: changed"
        before, after = dict(self.old.daemon), dict(self.new.daemon)
        if before.pop("retention") != after.pop("retention"):  # the one that is read again at each run
            yield "retention: changed"
        if before != after:
            yield "hcsyncd.yaml: changed; its options take effect at the next start"
        if self.old.transforms != self.new.transforms:
            yield "transforms: changed"


def in_service(site: Site) -> dict[str, Channel]:
    """The channels that are enabled."""
    return {name: channel for name, channel in site.channels.items() if channel.options.enabled}


def sources(site: Site) -> dict[str, Channel]:
    return {name: channel for name, channel in in_service(site).items() if channel.source}


def destinations(site: Site) -> dict[str, Channel]:
    return {name: channel for name, channel in in_service(site).items() if channel.destination}


def is_rebuilt(old: Channel, new: Channel) -> bool:
    """Whether a channel's connections are made anew."""
    return (old.source, old.destination, old.format) != (new.source, new.destination, new.format)


def _channel_change(old: Channel, new: Channel) -> str:
    if is_rebuilt(old, new):
        return "connector or format changed; it is built anew"
    return "rules changed; its connections stay" if old.options != new.options else ""

"""How the running node looks from outside: the records behind `status`, `/readyz` and `/metrics`."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

from hcsyncd.clock import MICROSECONDS, SystemClock
from hcsyncd.config.model import Channel
from hcsyncd.flow.intake import Gate
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.channel import WayIn, WayOut
from hcsyncd.runtime.live import ChannelStatus, Health
from hcsyncd.runtime.node import Node
from hcsyncd.store.ports import Hold
from hcsyncd.store.store import Store


def channel_statuses(node: Node) -> list[ChannelStatus]:
    """Every channel of the running site, in the order of their names."""
    statuses = []
    for name, channel in sorted(node.generation.site.channels.items()):
        if way := node.ways_in.get(name):
            statuses.append(_source(way, node.holding.of(name)))
        elif out := node.ways_out.get(name):
            statuses.append(_destination(out, node.holding.of(name)))
        else:
            role, kind = _role(channel)
            statuses.append(
                ChannelStatus(name, role, kind, channel.format.kind, Health.OFF, holds=node.holding.of(name))
            )
    return statuses


def reasons_not_ready(node: Node, gate: Gate) -> list[str]:
    """Why the daemon cannot do its work, for a person; none when it can. A destination that is down is no reason: its
    messages wait."""
    reasons = [f"source {name} is down: {way.runner.error}" for name, way in node.ways_in.items() if way.runner.error]
    return [f"intake is closed: {gate.reason}", *reasons] if gate.reason else reasons


def readings(node: Node, store: Store, pool: WorkerPool, free_bytes: int) -> dict[str, Mapping[tuple[str, ...], float]]:
    """The gauges that no event feeds, by metric name and label values."""
    now = SystemClock().now()
    outs = node.ways_out.items()
    return {
        "hcsyncd_deliveries_open": {(name,): float(out.dispatcher.open) for name, out in outs},
        "hcsyncd_oldest_delivery_seconds": {
            (name,): (now - oldest) / MICROSECONDS if (oldest := out.dispatcher.oldest_at) else 0.0
            for name, out in outs
        },
        "hcsyncd_connections_open": {(name,): float(_connections(way)) for name, way in node.ways_in.items()},
        "hcsyncd_workers_busy": {(): float(pool.busy)},
        "hcsyncd_batches_waiting": {(): float(pool.waiting)},
        "hcsyncd_store_pending": {(): float(store.pending)},
        "hcsyncd_disk_free_bytes": {(): float(free_bytes)},
    }


def resident_bytes() -> int:
    """Resident memory of this process, without its workers."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _role(channel: Channel) -> tuple[str, str]:
    part = channel.source or channel.destination
    assert part is not None
    return ("source" if channel.source else "destination"), part.kind


def _connections(way: WayIn) -> int:
    return getattr(way.runner.source, "connections", 0)


def _source(way: WayIn, holds: tuple[Hold, ...]) -> ChannelStatus:
    role, kind = _role(way.channel)
    return ChannelStatus(
        way.channel.name,
        role,
        kind,
        way.channel.format.kind,
        Health.HELD if holds else Health.UP if way.runner.is_up else Health.DOWN,
        address=way.runner.address,
        error=way.runner.error,
        connections=_connections(way),
        holds=holds,
    )


def _destination(out: WayOut, holds: tuple[Hold, ...]) -> ChannelStatus:
    role, kind = _role(out.channel)
    dispatcher = out.dispatcher
    if holds:
        health = Health.HELD
    else:
        health = Health.DOWN if dispatcher.error else Health.HELD if dispatcher.held_lanes else Health.UP
    return ChannelStatus(
        out.channel.name,
        role,
        kind,
        out.channel.format.kind,
        health,
        error=dispatcher.error,
        queued=dispatcher.open,
        oldest_at=dispatcher.oldest_at,
        next_try_at=dispatcher.next_try_at,
        held_lanes=dispatcher.held_lanes,
        holds=holds,
    )

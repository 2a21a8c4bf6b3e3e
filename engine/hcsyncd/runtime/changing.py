"""All that a running daemon has to do with changing its configuration, put together."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from hcsyncd.clock import Clock
from hcsyncd.config.model import Site
from hcsyncd.observe.bus import EventBus
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.activation import Activation
from hcsyncd.runtime.configurations import Configurations
from hcsyncd.runtime.rehearsal import Rehearsal, rehearse
from hcsyncd.runtime.shadow import Shadow
from hcsyncd.runtime.verb import Verbs
from hcsyncd.runtime.verbs.configuration import ConfigurationVerbs
from hcsyncd.runtime.verbs.recording import RecordingVerbs
from hcsyncd.runtime.verbs.shadow import ShadowVerbs
from hcsyncd.store.store import Store

FOLDER = "configurations"  # below the data folder: where older files are laid out for a while
MANY_WRITES = 64  # that wait for their commit


class Changing:
    """``changing`` is held while anything of the node is changed."""

    def __init__(
        self, site: Site, store: Store, pool: WorkerPool, bus: EventBus, clock: Clock, changing: asyncio.Lock
    ) -> None:
        self._data = site.data
        self._store = store
        self._pool = pool
        self.configurations = Configurations(store.configurations, site.folder, site.data / FOLDER)
        self.activation = Activation(
            site.folder, self.configurations, store.history, bus, clock, site.daemon.reload, changing
        )

    def verbs(self) -> Verbs:
        """The operators' commands on the configuration."""
        store, pool, activation = self._store, self._pool, self.activation
        shadow = Shadow(store.history, lambda: pool.waiting > 0 or store.pending > MANY_WRITES)

        def rehearsed(site: Site) -> AbstractAsyncContextManager[Rehearsal]:
            return rehearse(pool, site, store.name)

        return {
            **ConfigurationVerbs(activation, self.configurations).verbs(),
            **ShadowVerbs(shadow, activation.sites, rehearsed).verbs(),
            **RecordingVerbs(store.history, lambda: activation.generation, rehearsed, self._data).verbs(),
        }

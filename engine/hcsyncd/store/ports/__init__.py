"""The store's ports, sliced by who uses them. Every call that returns an awaitable resolves after its commit.

Transactions (the letters of docs/architecture.md): T1 `Inbox.put`, T2 `Outbox.hand_on`, T3 `Outbox.claim`,
T4 `Outbox.settle`. Rows of many calls share one commit, made by one writer thread; calls take effect in the order
they were made, as far as anyone could tell the difference.
"""

from hcsyncd.store.ports.history import (
    AttemptRow as AttemptRow,
    DeadRow as DeadRow,
    DeliveryRow as DeliveryRow,
    Filter as Filter,
    History as History,
    MessageRow as MessageRow,
)
from hcsyncd.store.ports.inbox import (
    NO_BYTES as NO_BYTES,
    Inbox as Inbox,
    Known as Known,
    NewMessage as NewMessage,
    Reply as Reply,
    Stored as Stored,
)
from hcsyncd.store.ports.outbox import (
    Handoff as Handoff,
    NewDelivery as NewDelivery,
    OpenLane as OpenLane,
    Outbox as Outbox,
    Outcome as Outcome,
)
from hcsyncd.store.ports.repairs import Repairs as Repairs

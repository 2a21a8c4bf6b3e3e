"""The store's ports, sliced by who uses them. Every call that returns an awaitable resolves after its commit.

Transactions (the letters of docs/architecture.md): T1 `Inbox.put`, T2 `Outbox.hand_on`, T3 `Outbox.claim`,
T4 `Outbox.settle`. Rows of many calls share one commit, made by one writer thread; calls take effect in the order
they were made, as far as anyone could tell the difference.
"""

from hcsyncd.store.ports.alerts import (
    Alert as Alert,
    Alerts as Alerts,
    Trouble as Trouble,
)
from hcsyncd.store.ports.audit import (
    Anchor as Anchor,
    AuditEntry as AuditEntry,
    AuditFilter as AuditFilter,
    AuditFinding as AuditFinding,
    AuditLog as AuditLog,
    NewEntry as NewEntry,
    Verified as Verified,
)
from hcsyncd.store.ports.configurations import (
    ConfigurationHistory as ConfigurationHistory,
    ConfigurationOutcome as ConfigurationOutcome,
    ConfigurationRow as ConfigurationRow,
    NewConfiguration as NewConfiguration,
    Queued as Queued,
)
from hcsyncd.store.ports.doubts import Doubts as Doubts
from hcsyncd.store.ports.history import (
    EVERYTHING as EVERYTHING,
    AttemptRow as AttemptRow,
    DeadRow as DeadRow,
    DeliveryRow as DeliveryRow,
    Filter as Filter,
    History as History,
    Looked as Looked,
    MessageRow as MessageRow,
    Reach as Reach,
)
from hcsyncd.store.ports.holds import (
    Hold as Hold,
    HoldKind as HoldKind,
    Holds as Holds,
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
    Blocked as Blocked,
    Handoff as Handoff,
    NewDelivery as NewDelivery,
    OpenLane as OpenLane,
    Outbox as Outbox,
    Outcome as Outcome,
    Unmapped as Unmapped,
)
from hcsyncd.store.ports.repairs import Repairs as Repairs
from hcsyncd.store.ports.replays import (
    OPEN_REPLAY_STATES as OPEN_REPLAY_STATES,
    Applied as Applied,
    BodySource as BodySource,
    Closed as Closed,
    ItemRow as ItemRow,
    ItemState as ItemState,
    Link as Link,
    NewReplay as NewReplay,
    PlannedItem as PlannedItem,
    PlannedPage as PlannedPage,
    ReplayRow as ReplayRow,
    Replays as Replays,
    ReplayState as ReplayState,
    Step as Step,
    Tally as Tally,
    Turn as Turn,
    Verdict as Verdict,
)
from hcsyncd.store.ports.retention import (
    SETTLED_STATES as SETTLED_STATES,
    Bound as Bound,
    ClockSeen as ClockSeen,
    Data as Data,
    Family as Family,
    Kept as Kept,
    Removed as Removed,
    Retention as Retention,
    Space as Space,
    Volume as Volume,
    Walked as Walked,
)
from hcsyncd.store.ports.search import (
    IndexedKeys as IndexedKeys,
    Keyed as Keyed,
    Newest as Newest,
    Reindexing as Reindexing,
    Search as Search,
    Standing as Standing,
    Tried as Tried,
)
from hcsyncd.store.ports.tasks import (
    Arrears as Arrears,
    Assignment as Assignment,
    ParkedRow as ParkedRow,
    Remade as Remade,
    TaskRow as TaskRow,
    Tasks as Tasks,
    Unparked as Unparked,
)

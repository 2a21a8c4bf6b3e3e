"""One frozen record for each thing that can happen. Logs, metrics and traces derive from these and from nowhere else.

No event holds a body, a secret or a patient's data: identifiers, codes, counts and times only.
"""

from hcsyncd.events.daemon import (
    ControlAsked as ControlAsked,
    ControlFailed as ControlFailed,
    ControlRefused as ControlRefused,
    ControlUsed as ControlUsed,
    DaemonStarted as DaemonStarted,
    DaemonStopped as DaemonStopped,
    DaemonStopping as DaemonStopping,
    DiskFailed as DiskFailed,
    DiskLow as DiskLow,
    DiskRecovered as DiskRecovered,
    GenerationActivated as GenerationActivated,
    GenerationRefused as GenerationRefused,
    OperationFailed as OperationFailed,
    StoreFailed as StoreFailed,
    StoreRecovered as StoreRecovered,
)
from hcsyncd.events.deliveries import (
    AnswerIgnored as AnswerIgnored,
    DeliveryClosed as DeliveryClosed,
    DeliveryDelayed as DeliveryDelayed,
    DeliveryDied as DeliveryDied,
    DeliverySent as DeliverySent,
    DeliveryUnsure as DeliveryUnsure,
    DestinationFailed as DestinationFailed,
    DestinationRecovered as DestinationRecovered,
)
from hcsyncd.events.event import Event as Event
from hcsyncd.events.messages import (
    ControlIdReused as ControlIdReused,
    IntakeRefused as IntakeRefused,
    MessageDuplicated as MessageDuplicated,
    MessageFiltered as MessageFiltered,
    MessageReceived as MessageReceived,
    MessageRejected as MessageRejected,
    MessageReplayed as MessageReplayed,
    MessageRouted as MessageRouted,
    MessageUnrouted as MessageUnrouted,
    ReplyLost as ReplyLost,
    RouteFailed as RouteFailed,
)
from hcsyncd.events.sources import (
    CertificateRefused as CertificateRefused,
    CertificateReloaded as CertificateReloaded,
    ConnectionClosed as ConnectionClosed,
    ConnectionOpened as ConnectionOpened,
    ConnectionRefused as ConnectionRefused,
    FaultTolerated as FaultTolerated,
    FileRefused as FileRefused,
    FileTaken as FileTaken,
    FrameFaulted as FrameFaulted,
    SourceFailed as SourceFailed,
    SourceStarted as SourceStarted,
    SourceStopped as SourceStopped,
    WatchFailed as WatchFailed,
)
from hcsyncd.events.workers import (
    WorkerLost as WorkerLost,
    WorkerStarted as WorkerStarted,
)

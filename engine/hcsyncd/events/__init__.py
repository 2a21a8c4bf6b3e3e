"""One frozen record for each thing that can happen. Logs, metrics and traces derive from these and from nowhere else.

No event holds a body, a secret or a patient's data: identifiers, codes, counts and times only.
"""

from hcsyncd.events.alerts import (
    AlertAcknowledged as AlertAcknowledged,
    AlertCleared as AlertCleared,
    AlertRaised as AlertRaised,
    AlertReminded as AlertReminded,
    AlertsFailed as AlertsFailed,
    CertificateSeen as CertificateSeen,
    ClockJumped as ClockJumped,
    ClockSettled as ClockSettled,
    NoticeDropped as NoticeDropped,
    NoticeFailed as NoticeFailed,
    NoticesRecovered as NoticesRecovered,
)
from hcsyncd.events.audit import (
    AuditAnchored as AuditAnchored,
    AuditBroken as AuditBroken,
    AuditFailed as AuditFailed,
)
from hcsyncd.events.configuration import (
    GenerationAccepted as GenerationAccepted,
    GenerationActivated as GenerationActivated,
    GenerationHeld as GenerationHeld,
    GenerationRefused as GenerationRefused,
    GenerationReverted as GenerationReverted,
    GenerationStuck as GenerationStuck,
)
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
from hcsyncd.events.holds import (
    ChannelHeld as ChannelHeld,
    ChannelResumed as ChannelResumed,
)
from hcsyncd.events.keeping import (
    AttemptsFolded as AttemptsFolded,
    AuditCut as AuditCut,
    RetentionFailed as RetentionFailed,
    RetentionHeld as RetentionHeld,
    RetentionRan as RetentionRan,
    SpaceReturned as SpaceReturned,
)
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
from hcsyncd.events.replays import (
    ReplayApplied as ReplayApplied,
    ReplayCancelled as ReplayCancelled,
    ReplayExpired as ReplayExpired,
    ReplayFailed as ReplayFailed,
    ReplayFinished as ReplayFinished,
    ReplayHeld as ReplayHeld,
    ReplayPlanned as ReplayPlanned,
    ReplayResumed as ReplayResumed,
)
from hcsyncd.events.sealing import (
    BackupFailed as BackupFailed,
    BackupMade as BackupMade,
    KeysRotated as KeysRotated,
    StoreSealed as StoreSealed,
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
from hcsyncd.events.tasks import (
    DeadLetterAssigned as DeadLetterAssigned,
    DeliveryParked as DeliveryParked,
    DeliverySettled as DeliverySettled,
    DeliveryUnparked as DeliveryUnparked,
    TaskAssigned as TaskAssigned,
    TaskClosed as TaskClosed,
)
from hcsyncd.events.workers import (
    WorkerLost as WorkerLost,
    WorkerStarted as WorkerStarted,
)

"""Everything that can go wrong, as one tree. Each class has a ``code``: stable, short, metric label and docs anchor.

::

    HcsyncdError
    ├── ConfigError          the site cannot be used; carries findings
    ├── PluginError          a transform file cannot be loaded
    ├── FormatError          bytes are not what their format says
    ├── TransformError       a transform failed
    │   ├── Reject           a transform refused the message on purpose
    │   ├── TransformTimeout it overran its time bound
    │   ├── TransformMemory  it overran its memory bound
    │   ├── TransformCrash   it took its worker process down
    │   └── UnmappedCode     a lookup table has no entry
    ├── DeliveryError        a send did not succeed
    │   ├── Transient        worth another try
    │   ├── Unsure           may or may not have happened
    │   └── Refused          will never succeed as it is
    ├── SourceError          a source cannot start or go on
    ├── StoreError           the store cannot do its work
    └── ControlError         an operator's command cannot be carried out
        ├── DaemonAbsent     no daemon runs for the site
        └── CommandRefused   the daemon said no
"""

from __future__ import annotations

from typing import ClassVar


class HcsyncdError(Exception):
    """The root. ``str()`` is a sentence for a person; it never holds a body or a secret."""

    code: ClassVar[str] = "error"


class ConfigError(HcsyncdError):
    """The site cannot be used. ``findings`` are rendered one a line by whoever shows it."""

    code = "config"

    def __init__(self, text: str, findings: tuple[object, ...] = ()) -> None:
        super().__init__(text)
        self.findings = findings


class PluginError(HcsyncdError):
    """A transform file cannot be loaded, or names something that is not there. The text says file, line, message."""

    code = "plugin"


class FormatError(HcsyncdError):
    """Bytes are not what their format says they are."""

    code = "format"

    def __init__(self, reason: str, text: str, offset: int | None = None) -> None:
        """``reason`` is a stable code of its own (``no-msh``), ``offset`` counts bytes from the start of the body; None
        where the error is not at a place in a body (a path, a value to write)."""
        super().__init__(text if offset is None else f"{text} (byte {offset})")
        self.reason = reason
        self.offset = offset or 0


class TransformError(HcsyncdError):
    """A transform failed; the message is a dead letter until someone mends one of the two."""

    code = "transform-failed"


class Reject(TransformError):
    """Raised or returned by a transform that refuses a message on purpose, with the reason for the sender."""

    code = "rejected"


class TransformTimeout(TransformError):
    """A transform overran its time bound for one message."""

    code = "transform-timeout"


class TransformMemory(TransformError):
    """A transform overran the memory bound of its worker, or took its worker down."""

    code = "transform-memory"


class TransformCrash(TransformError):
    """A transform ended its worker process, alone in it: ``os._exit``, a fault of native code, the system's killer."""

    code = "worker-lost"


class UnmappedCode(TransformError):
    """A lookup table has no entry for a code. The text names the table and the code. What `Context.lookup` raises
    names them in ``table`` and ``missing`` too: the delivery is then parked until the table has the entry."""

    code = "unmapped-code"

    def __init__(self, text: str, table: str = "", missing: str = "") -> None:
        super().__init__(text)
        self.table = table
        self.missing = missing


class DeliveryError(HcsyncdError):
    """A send did not succeed. ``answer`` is what the other side said, where it said something."""

    code = "delivery"

    def __init__(self, reason: str, text: str, *, answer: bytes = b"") -> None:
        """``reason`` is a stable code of its own (``connect-refused``, ``http-503``, ``ack-AE``)."""
        super().__init__(text)
        self.reason = reason
        self.answer = answer


class Transient(DeliveryError):
    """Worth another try. ``retry_after`` is the other side's own wish in seconds, where it gave one."""

    code = "transient"

    def __init__(self, reason: str, text: str, *, answer: bytes = b"", retry_after: float | None = None) -> None:
        super().__init__(reason, text, answer=answer)
        self.retry_after = retry_after


class Unsure(DeliveryError):
    """The send may or may not have taken effect: the answer was lost."""

    code = "unsure"


class Refused(DeliveryError):
    """The other side will never take this envelope as it is."""

    code = "refused"


class SourceError(HcsyncdError):
    """A source cannot start or go on: the address is taken, the folder is gone."""

    code = "source"


class StoreError(HcsyncdError):
    """The store cannot do its work: full, read-only, corrupt, locked, or from a newer version."""

    code = "store"


class ControlError(HcsyncdError):
    """An operator's command cannot be carried out. The text says why and what to do."""

    code = "control"


class DaemonAbsent(ControlError):
    """No daemon answers for the site, or this user may not talk to it."""

    code = "daemon-absent"


class CommandRefused(ControlError):
    """The daemon said no to a command, or failed on it."""

    code = "command-refused"

    def __init__(self, reason: str, text: str, details: tuple[object, ...] = ()) -> None:
        """``reason`` is the code of the error at the daemon's side, ``details`` its findings, as decoded JSON."""
        super().__init__(text)
        self.reason = reason
        self.details = details

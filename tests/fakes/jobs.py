"""HL7 messages as the workers get them."""

from __future__ import annotations

from hcsyncd.message import Keys
from hcsyncd.plugins.job import Job, Step

ADMISSION = (
    b"MSH|^~\\&|EPIC|GENERAL|HCSYNCD|SUPPLY|20261122081500||ADT^A01|MSG00001|P|2.5\r"
    b"EVN|A01|20261122081500\r"
    b"PID|1||1234567^^^GENERAL^MR||QUIMBY^ROSALIND||19620704|F\r"
    b"PV1|1|I|ICU^12^A\r"
)


def make_job(
    *transforms: str,
    filter: str = "",  # noqa: A002 - the step's own word
    message_id: int = 1,
    body: bytes = ADMISSION,
    channel: str = "adt_in",
) -> Job:
    """One message with a step for each transform; ``filter`` is that of every step, alone when there is no
    transform."""
    steps = [Step(f"route_{number}", filter, name) for number, name in enumerate(transforms or ("",), 1)]
    return Job(
        message_id, channel, 1_700_000_000_000_000, Keys("ADT^A01", "MSG00001", "EPIC|GENERAL"), body, tuple(steps)
    )

"""A stored message becomes a case: without its patient, and with what the running configuration makes of it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hcsyncd.errors import ControlError, FormatError, Reject, StoreError
from hcsyncd.formats.format import Format
from hcsyncd.formats.hl7.deidentify import Deidentifier
from hcsyncd.formats.hl7.document import Hl7Document
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.record import Record
from hcsyncd.runtime.cases import ARRIVED_AT, MESSAGE_ID, drop_reasons
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.runtime.site import Generation
from hcsyncd.store.ports import Handoff, NewDelivery

KEY_FILE = "deidentify.key"  # in the data folder, so that one value has one fake in all cases of a site
KEY_BYTES = 32


class Recorded(Record, frozen=True, gc=True):
    """A case in the making: what a test file is to say."""

    channel: str
    message: str  # a line feed after each segment
    outcome: dict[str, Any]  # in the terms of config.cases.CaseOptions


def deidentified(body: bytes, its_format: Format, key: bytes) -> bytes:
    """The body without its patient. Raises ControlError when the format's fields are not known, or it cannot be
    read."""
    try:
        document = its_format.parse(body)
        if not isinstance(document, Hl7Document):
            raise ControlError(
                f"only HL7 messages can be made anonymous, and this is {its_format.name}: write the case by hand"
            )
        return Deidentifier(key).deidentified(document)
    except FormatError as error:
        raise ControlError(f"the message cannot be read as {its_format.name}: {error}") from error


async def record(rehearsal: Rehearsal, generation: Generation, channel: str, body: bytes, key: bytes) -> Recorded:
    """The case that a stored message is: what `hcsyncd test` is to expect of it. Raises ControlError when the channel
    is not one of the running configuration."""
    its_format = generation.formats.get(channel)
    if its_format is None or not rehearsal.knows(channel):
        raise ControlError(f"there is no source channel {channel}; give --channel")
    fake = deidentified(body, its_format, key)
    message = Message(MESSAGE_ID, channel, ARRIVED_AT, its_format.peek(fake).keys, fake, trace=MESSAGE_ID)
    (handoff,) = await rehearsal.hand_offs([message])
    return Recorded(channel, _as_text(fake), outcome_of(handoff, fake, generation))


def outcome_of(handoff: Handoff, arrived: bytes, generation: Generation) -> dict[str, Any]:
    """What a case says to expect what became of its message."""
    if handoff.state is MessageState.UNROUTED:
        return {"unrouted": True}
    if handoff.state is MessageState.FILTERED:
        reasons = set(drop_reasons(handoff, generation))
        return {"dropped": _pattern(reasons.pop()) if len(reasons) == 1 else "*"}
    if handoff.state is MessageState.DEAD:
        return {"failed": handoff.cause}
    for made in handoff.deliveries:
        if made.unmapped is not None:
            return {"parked": _pattern(f"{made.unmapped.table}/{made.unmapped.code}")}
        if made.state is DeliveryState.DEAD:
            return {"rejected": _pattern(made.text)} if made.cause == Reject.code else {"failed": made.cause}
    return {"expect": [dict(_expectation(made, arrived, generation)) for made in handoff.deliveries]}


def _expectation(made: NewDelivery, arrived: bytes, generation: Generation) -> Iterator[tuple[str, Any]]:
    body = arrived if made.body is None else made.body
    its_format = generation.formats[made.destination]
    yield "to", made.destination
    if its_format.name == "json":
        with suppress(ValueError):
            yield "json", json.loads(body)
            return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return  # no test file can hold it: that something leaves is expected, and no more
    if its_format.name != "hl7":
        yield "body", text
    elif "\n" not in text:  # else a test file, whose line ends become carriage returns, could not say which is which
        yield "body", text.replace("\r", "\n")


def _as_text(body: bytes) -> str:
    return body.decode("ascii").replace("\r", "\n")


def _pattern(text: str) -> str:
    """A text as a pattern that only it is like."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def site_key(data: Path) -> bytes:
    """The site's own key for fakes; made when it is not there. Raises StoreError."""
    path = data / KEY_FILE
    try:
        if not path.exists():
            fresh = path.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            fresh.rename(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path} is damaged: delete it, and a new one is made; fakes differ from then on")
    return key

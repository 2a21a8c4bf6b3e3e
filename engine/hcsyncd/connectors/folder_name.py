"""The names of files that leave: a pattern of fields, made safe for a file system, the same for every attempt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from mimetypes import guess_extension
from pathlib import PurePosixPath
from string import Formatter

from hcsyncd.clock import MICROSECONDS
from hcsyncd.message import NAME_HEADER, Envelope

FIELDS: Mapping[str, str] = {
    "message_id": "the message's number, twelve digits, so that names sort in the order of arrival",
    "delivery_id": "the delivery's number, twelve digits",
    "key": "sixteen characters made from the idempotency key: the same for every attempt and replay",
    "route": "the route's name",
    "type": "the type of what leaves, `ADT_A01`",
    "control_id": "the control id of what leaves",
    "lane": "the lane's key",
    "name": "the name that the transform gave (`Out.name`)",
    "date": "the delivery's day (UTC), `20260131`",
    "time": "the delivery's time of day (UTC), `235959`",
    "extension": "by the content type: `json`, `hl7`, `txt`, `bin`",
}
EXTENSIONS = {
    "application/json": "json",
    "application/hl7-v2": "hl7",
    "x-application/hl7-v2+er7": "hl7",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/csv": "csv",
    "text/plain": "txt",
}
VALUE_CHARACTERS = 80
NAME_BYTES = 200  # file systems end at 255, and a marker or a number may be added
EMPTY = "_"

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=,-]+")


def check_pattern(pattern: str) -> str:
    """Give the pattern back, or raise ValueError that names what is wrong with it."""
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f"is no name pattern ({error}): write fields as {{name}}") from error
    for literal, field, spec, conversion in parts:
        if "/" in literal or "\\" in literal or "\0" in literal:
            raise ValueError("must be a file's name: set `folder` for where it goes")
        if field is not None and field not in FIELDS:
            raise ValueError(f"knows no field {{{field}}}; there are {', '.join(FIELDS)}")
        if spec or conversion:
            raise ValueError(f"{{{field}}} takes no format")
    return pattern


def file_name(pattern: str, envelope: Envelope) -> str:
    """The name for an envelope: no separators, no leading dot, at most NAME_BYTES long."""
    values = {field: _safe(value) for field, value in _values(envelope).items()}
    name = pattern.format_map(values)
    name = EMPTY + name if name.startswith(".") else name
    if len(name.encode()) > NAME_BYTES:
        suffix = PurePosixPath(name).suffix
        name = f"{name.encode()[: NAME_BYTES - 40].decode(errors='ignore')}-{values['key']}{suffix[:20]}"
    return name


def numbered(name: str, number: int) -> str:
    """``list.csv``, ``list.2.csv``, ``list.3.csv``."""
    plain = PurePosixPath(name)
    return name if number == 1 else f"{plain.stem}.{number}{plain.suffix}"


def key_digest(envelope: Envelope) -> str:
    """Sixteen characters that stand for the envelope's idempotency key in a file's name."""
    key = envelope.idempotency_key or str(envelope.delivery_id)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _values(envelope: Envelope) -> dict[str, str]:
    moment = datetime.fromtimestamp(envelope.created_at / MICROSECONDS, UTC)
    return {
        "message_id": f"{envelope.message_id:012d}",
        "delivery_id": f"{envelope.delivery_id:012d}",
        "key": key_digest(envelope),
        "route": envelope.route,
        "type": envelope.type,
        "control_id": envelope.control_id,
        "lane": envelope.lane,
        "name": envelope.headers.get(NAME_HEADER, ""),
        "date": moment.strftime("%Y%m%d"),
        "time": moment.strftime("%H%M%S"),
        "extension": _extension(envelope.content_type),
    }


def _safe(value: str) -> str:
    return _UNSAFE.sub("_", value)[:VALUE_CHARACTERS] or EMPTY


def _extension(content_type: str) -> str:
    media_type = content_type.partition(";")[0].strip().lower()
    return EXTENSIONS.get(media_type) or (guess_extension(media_type) or ".bin").lstrip(".")

"""Bodies as fields: each value with its path in the terms of its format, masked unless the values are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Format
from hcsyncd.formats.masking import masked
from hcsyncd.formats.registry import FORMATS, build_format
from hcsyncd.record import Record

MAX_FIELDS = 20_000  # of one body


class FieldValue(Record, frozen=True):
    """One value of a body, as it is shown."""

    path: str
    value: str


class Read(Record, frozen=True):
    """A body cut into its fields. ``problem``: why it could not be."""

    format: str
    version: str = ""  # HL7: MSH-12, for the names of fields
    fields: tuple[FieldValue, ...] = ()
    problem: str = ""


class Changed(Record, frozen=True):
    """One value that two bodies do not share, as it is shown; None: nothing is there."""

    path: str
    was: str | None
    now: str | None


def read_body(form: Format | None, body: bytes, *, values: bool) -> Read:
    """The fields of a body. Never fails for what it holds."""
    if form is None:
        return Read("", problem="its format is not known: the channel is gone")
    try:
        document = form.parse(body)
        entries = document.entries()
        fields = [FieldValue(path, value if values else masked(path, value)) for path, value in _some(entries)]
        version = (document.get("MSH-12.1") or "") if form.name == "hl7" else ""
    except FormatError as error:
        return Read(form.name, problem=f"it cannot be read as {form.name}: {error}")
    return Read(form.name, version, tuple(fields))


def _some(entries: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for number, entry in enumerate(entries):
        if number >= MAX_FIELDS:
            return
        yield entry


def form_of_content(content_type: str, *candidates: Format | None) -> Format | None:
    """The format that wrote a body of this content type: the first candidate that does, else one with its defaults."""
    for candidate in candidates:
        if candidate is not None and (not content_type or candidate.content_type == content_type):
            return candidate
    for kind in FORMATS.values():
        if not any(field.is_required() for field in kind.options.model_fields.values()):
            form = build_format(kind.kind, kind.options())
            if form.content_type == content_type:
                return form
    return None


def shown_change(path: str, was: str | None, now: str | None, *, values: bool) -> Changed:
    """A difference as it is shown: two masks may be alike."""
    if values:
        return Changed(path, was, now)
    return Changed(path, None if was is None else masked(path, was), None if now is None else masked(path, now))


def origins(sent: Read, arrived: Read) -> dict[str, str]:
    """Where the values of what was sent stand in what arrived, by path: the first place of each value, where it is
    long enough to mean something."""
    places: dict[str, str] = {}
    for one in arrived.fields:
        if len(one.value) >= 2:
            places.setdefault(one.value, one.path)
    return {one.path: places[one.value] for one in sent.fields if one.value in places}

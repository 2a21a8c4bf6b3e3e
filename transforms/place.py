"""Where a patient is or was: HL7 v2 person locations (chapter 2A, data type PL)."""

from dataclasses import dataclass

from hcsyncd import Hl7Document

NULL = '""'  # HL7 v2.5.1 §2.5.3: the sender says that there is nothing, and does not just say nothing


@dataclass(frozen=True, slots=True)
class Place:
    """A ward, and in it a room and a bed where they are known."""

    ward: str
    room: str
    bed: str


def place(document: Hl7Document, field: str) -> Place | None:
    """The place in a field (``PV1-3``); None when it names no ward."""
    ward, room, bed = (document[f"{field}.{component}"].replace(NULL, "") for component in (1, 2, 3))
    return Place(ward, room, bed) if ward else None

"""HL7 v2 patient administration (chapter 3) and scheduling (chapter 10) messages to the hospital's own events.

An event names the visit and where it is, and no more of the patient than the identifier.
"""

from typing import Any

from hcsyncd import Context, Drop, Hl7Document, Out, transform

from .moment import iso
from .place import place


@transform
def to_event(document: Hl7Document, context: Context) -> Out | Drop:
    """One event for each trigger that ``mapping/triggers.csv`` names."""
    trigger = context.keys.type
    event = context.lookup("triggers", trigger, default="")
    if not event:
        return Drop(f"{trigger} is no event of ours")
    about = _procedure(document) if trigger.startswith("SIU") else _movement(document, context)
    content: dict[str, Any] = {
        "event": event,
        "occurred_at": _occurred(document),
        "patient": _medical_record_number(document),
        "visit": document["PV1-19.1"] or document["PID-18.1"],
        **about,
        "source": {"sender": context.keys.sender, "trigger": trigger, "control_id": context.keys.control_id},
    }
    return Out(content, type=event, headers={"X-Event": event})


def _occurred(document: Hl7Document) -> str:
    """EVN-6 says when it happened, EVN-2 when it was recorded, MSH-7 when it was sent."""
    return iso(document["EVN-6.1"] or document["EVN-2.1"] or document["MSH-7.1"])


def _medical_record_number(document: Hl7Document) -> str:
    """The repetition of PID-3 with the type MR (table 0203), else the first."""
    for repetition in range(1, document.count("PID-3") + 1):
        if document[f"PID-3[{repetition}].5"] == "MR":
            return document[f"PID-3[{repetition}].1"]
    return document["PID-3.1"]


def _movement(document: Hl7Document, context: Context) -> dict[str, Any]:
    return {
        "class": document["PV1-2"],
        "location": _location(document, "PV1-3", context),
        "previous_location": _location(document, "PV1-6", context),
        "admitted_at": iso(document["PV1-44.1"]),
        "discharged_at": iso(document["PV1-45.1"]),
    }


def _location(document: Hl7Document, field: str, context: Context) -> dict[str, str] | None:
    found = place(document, field)
    if found is None:
        return None
    name = context.lookup("wards", found.ward, default=found.ward)
    return {"ward": found.ward, "ward_name": name, "room": found.room, "bed": found.bed}


def _procedure(document: Hl7Document) -> dict[str, Any]:
    return {
        "appointment": document["SCH-2.1"] or document["SCH-1.1"],
        "procedure": {"code": document["AIS-3.1"], "text": document["AIS-3.2"]},
        "starts_at": iso(document["AIS-4.1"] or document["SCH-11.4"]),
        "theatre": document["AIL-3.1"],
        "surgeon": document["AIP-3.1"],
        "status": document["SCH-25.1"],
    }

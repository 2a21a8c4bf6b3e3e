"""What HL7 calls its segments and fields, version by version.

Fields, components and subcomponents are named by hl7apy's tables, which are loaded when the first name is asked for:
some 60 ms and 5 MB for a version. Segments have no names there; those are written down here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.path import Path, parse_path

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")
USUAL = "2.5.1"  # where a message does not say which it is

# HL7 v2.5.1 appendix A, the segments of chapters 2 to 17 that hospitals send.
SEGMENTS: Mapping[str, str] = MappingProxyType(
    {
        "ACC": "Accident",
        "AIG": "Appointment information, general resource",
        "AIL": "Appointment information, location resource",
        "AIP": "Appointment information, personnel resource",
        "AIS": "Appointment information, service",
        "AL1": "Patient allergy information",
        "BHS": "Batch header",
        "BTS": "Batch trailer",
        "DB1": "Disability",
        "DG1": "Diagnosis",
        "DRG": "Diagnosis related group",
        "DSC": "Continuation pointer",
        "ERR": "Error",
        "EVN": "Event type",
        "FHS": "File header",
        "FT1": "Financial transaction",
        "FTS": "File trailer",
        "GT1": "Guarantor",
        "IAM": "Patient adverse reaction information",
        "IN1": "Insurance",
        "IN2": "Insurance additional information",
        "IN3": "Insurance additional information, certification",
        "INV": "Inventory detail",
        "ITM": "Material item",
        "IVT": "Material location",
        "LOC": "Location identification",
        "MFE": "Master file entry",
        "MFI": "Master file identification",
        "MRG": "Merge patient information",
        "MSA": "Message acknowledgment",
        "MSH": "Message header",
        "NK1": "Next of kin and associated parties",
        "NPU": "Bed status update",
        "NTE": "Notes and comments",
        "OBR": "Observation request",
        "OBX": "Observation and result",
        "ORC": "Common order",
        "PD1": "Patient additional demographic",
        "PDA": "Patient death and autopsy",
        "PID": "Patient identification",
        "PKG": "Item packaging",
        "PR1": "Procedures",
        "PV1": "Patient visit",
        "PV2": "Patient visit, additional information",
        "QRD": "Original-style query definition",
        "RGS": "Resource group",
        "ROL": "Role",
        "RQ1": "Requisition detail 1",
        "RQD": "Requisition detail",
        "RXA": "Pharmacy or treatment administration",
        "RXE": "Pharmacy or treatment encoded order",
        "RXO": "Pharmacy or treatment order",
        "SCH": "Scheduling activity information",
        "SFT": "Software segment",
        "SPM": "Specimen",
        "TQ1": "Timing and quantity",
        "TXA": "Transcription document header",
        "UB1": "UB82 data",
        "UB2": "UB92 data",
        "VND": "Purchasing vendor",
    }
)
_ACRONYMS = frozenset(
    {"ABO", "APC", "DEA", "DNR", "DRG", "HCD", "ID", "SSN", "UB", "UB82", "UB92", "UPC", "URL", "VAT"}
)


def segment_name(segment: str) -> str:
    """The name of a segment; "" when the standard has none of that id, or it is one of a site's own (Z...)."""
    return SEGMENTS.get(segment, "")


def field_name(path: str, version: str = "") -> str:
    """What stands at a path, as ``Patient identifier list / ID number``; "" when nothing is known of it."""
    try:
        place = parse_path(path)
    except FormatError:
        return ""
    return " / ".join(_tables(nearest(version)).names(place))


def nearest(version: str) -> str:
    """The version whose tables serve a message that says it is of ``version``."""
    if version in VERSIONS:
        return version
    numbers = [int(number) for number in re.findall(r"[0-9]+", version)][:3]
    older = [known for known in VERSIONS if [int(number) for number in known.split(".")] <= numbers]
    return older[-1] if older else USUAL


@dataclass(frozen=True, slots=True)
class _Tables:
    """hl7apy's: fields as ``PID_3``, components as ``CX_1``; each a sequence whose third entry is the datatype and
    whose fourth is the name."""

    fields: Mapping[str, Any]
    parts: Mapping[str, Any]

    def names(self, place: Path) -> list[str]:
        """The names from the field down, as far as they are known."""
        field = self.fields.get(f"{place.segment}_{place.field}") if place.field else None
        names, datatype = ([], "") if field is None else ([_words(field[3])], field[2])
        for number in (place.component, place.subcomponent):
            part = self.parts.get(f"{datatype}_{number}") if number and names else None
            if part is None:
                break
            names.append(_words(part[3]))
            datatype = part[2]
        return names


@cache
def _tables(version: str) -> _Tables:
    package = f"hl7apy.v{version.replace('.', '_')}"
    fields, parts = (importlib.import_module(f"{package}.{name}") for name in ("fields", "datatypes"))
    return _Tables(fields.FIELDS, parts.DATATYPES)


def _words(name: str) -> str:
    """``PATIENT_IDENTIFIER_LIST`` as people write it."""
    words = [word if word in _ACRONYMS or word in SEGMENTS else word.lower() for word in name.split("_")]
    return f"{words[0][:1].upper()}{words[0][1:]} {' '.join(words[1:])}".strip()

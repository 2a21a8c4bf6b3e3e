"""HL7 v2 timestamps (chapter 2A, data type TS/DTM) in the form of ISO 8601."""

import re

TIMESTAMP = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\.\d{1,4})?([+-]\d{4})?", re.ASCII)


def iso(timestamp: str) -> str:
    """``20260302081500+0100`` becomes ``2026-03-02T08:15:00+01:00``; what the sender left out stays out.

    Text that is no timestamp becomes "": a wrong time would be worse than none."""
    found = TIMESTAMP.fullmatch(timestamp)
    if found is None:
        return ""
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    text = "-".join(part for part in (year, month, day) if part)
    if hour:
        text += f"T{hour}:{minute or '00'}:{second or '00'}{fraction or ''}"
        text += f"{zone[:3]}:{zone[3:]}" if zone else ""
    return text

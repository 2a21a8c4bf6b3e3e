"""Values made unreadable for eyes that need only their form: letters become x, digits 9, the rest stays.

What remains tells how long a value is and how it is written. What the header of an HL7 message says stands in lists and
logs anyway, and is shown.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"(?:MSH|BHS|FHS|MSA)-(?:[0-9]+)")
_SECRET = re.compile(r"MSH-8(?![0-9])")  # v2.5.1 §2.14.9.8: security
MAX_CHARACTERS = 60  # of a mask


def mask(value: str) -> str:
    """The form of a value."""
    shown = "".join("9" if sign.isdigit() else "x" if sign.isalpha() else sign for sign in value[:MAX_CHARACTERS])
    return shown if len(value) <= MAX_CHARACTERS else f"{shown}… ({len(value)} characters)"


def is_plain(path: str) -> bool:
    """Whether the value at a path tells nothing of a patient: the header and the acknowledgement of an HL7 message."""
    return bool(_HEADER.match(path)) and not _SECRET.match(path)


def masked(path: str, value: str) -> str:
    """The value where it is plain, else its form."""
    return value if is_plain(path) else mask(value)

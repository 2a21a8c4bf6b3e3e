"""The delimiters a message declares for itself in MSH-1 and MSH-2 (HL7 v2.5.1 §2.5.4, §2.14.9.1 and §2.14.9.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hcsyncd.errors import FormatError


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The separators of one message, each one character. All but field and component are "" where MSH-2 has none."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""  # since 2.7 (v2.7 §2.5.5.2)

    @property
    def encoding_characters(self) -> str:
        """What MSH-2 says."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


STANDARD = Delimiters()


@lru_cache(maxsize=256)
def declared(field: str, encoding_characters: str) -> Delimiters:
    """Read MSH-1 and MSH-2. Some senders leave out the last ones of MSH-2; a fifth one is the truncation character.

    Raises FormatError (``bad-delimiters``) when they cannot tell one thing from another."""
    if not field:
        raise FormatError("bad-delimiters", "the header segment ends before MSH-1, the field separator", 3)
    everything = field + encoding_characters
    if not 1 <= len(encoding_characters) <= 5:
        text = f"MSH-2 must hold 1 to 5 encoding characters, usually ^~\\&, and holds {len(encoding_characters)}"
        raise FormatError("bad-delimiters", text, 4)
    for offset, character in enumerate(everything, 3):
        if character.isalnum() or not ("!" <= character <= "~" or character == "\t"):
            text = "MSH-1 and MSH-2 must be punctuation: letters, digits, blanks and bytes beyond ASCII cannot separate"
            raise FormatError("bad-delimiters", text, offset)
        if character in everything[: offset - 3]:
            raise FormatError("bad-delimiters", f"MSH-1 and MSH-2 use {character!r} for two things", offset)
    return Delimiters(field, *(encoding_characters[place : place + 1] for place in range(5)))

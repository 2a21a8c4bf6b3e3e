"""Escape sequences (HL7 v2.5.1 §2.7): text that holds delimiters, line breaks or control characters."""

from __future__ import annotations

import re
from functools import lru_cache

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.delimiters import Delimiters

CONTROLS = (*range(0x20), 0x7F)


def escape(text: str, delimiters: Delimiters) -> str:
    r"""Text as it may stand in a field: delimiters as \F\ \S\ \T\ \R\ \E\ \P\, a line feed as \.br\, any other control
    character as \Xhh\. Raises FormatError (``no-escape-character``) where one is needed and MSH-2 declares none."""
    escaped = text.translate(_escapes(delimiters))
    if not delimiters.escape and escaped != text:
        reason = "the text holds a delimiter or a control character, and MSH-2 declares no escape character"
        raise FormatError("no-escape-character", reason)
    return escaped


def unescape(text: str, delimiters: Delimiters) -> str:
    r"""The text that was escaped. Sequences that are no text (\H\, \.sp2\, \Zxx\) and unknown ones stay as they are.
    Hex digits are bytes: the result is wire text, as the input, still to be decoded by the message's character set."""
    if not delimiters.escape or delimiters.escape not in text:
        return text
    meanings = _meanings(delimiters)

    def meaning(found: re.Match[str]) -> str:
        sequence = found[1]
        if sequence[0] == "X" and len(sequence) % 2 and len(sequence) > 1:
            return bytes.fromhex(sequence[1:]).decode("latin-1") if _is_hex(sequence[1:]) else found[0]
        return meanings.get(sequence, found[0])

    return _sequences(delimiters.escape).sub(meaning, text)


@lru_cache(maxsize=64)
def _meanings(delimiters: Delimiters) -> dict[str, str]:
    names = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "P": delimiters.truncation,
        ".br": "\n",
    }
    return {name: character for name, character in names.items() if character}


@lru_cache(maxsize=64)
def _escapes(delimiters: Delimiters) -> dict[int, str]:
    mark = delimiters.escape
    controls = {code: f"{mark}X{code:02X}{mark}" for code in CONTROLS}
    return controls | {ord(character): mark + name + mark for name, character in _meanings(delimiters).items()}


@lru_cache(maxsize=64)
def _sequences(mark: str) -> re.Pattern[str]:
    """Anything that has the shape of a sequence, known or not, so that the mark that ends one never begins another."""
    mark = re.escape(mark)
    return re.compile(rf"{mark}([A-Z][0-9A-Za-z]*|\.[a-z]{{2}}[+-]?[0-9]*){mark}")


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789ABCDEFabcdef" for digit in digits)

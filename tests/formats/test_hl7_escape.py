from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.delimiters import STANDARD, Delimiters, declared
from hcsyncd.formats.hl7.escape import escape, unescape

TRUNCATING = declared("|", "^~\\&#")
ODD = declared("!", "*+$%")


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("\\F\\\\S\\\\T\\\\R\\\\E\\", "|^&~\\"),
        ("Smith \\T\\ Sons", "Smith & Sons"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\X41\\\\X0D0a\\z", "A\r\nz"),
        ("plain", "plain"),
    ],
)
def test_reads_the_sequences_of_the_standard(escaped: str, text: str) -> None:
    assert unescape(escaped, STANDARD) == text


UNTOUCHED = [
    *("\\H\\bold\\N\\", "\\.sp2\\", "\\Z12\\", "\\X4\\", "\\XZZ\\", "\\P\\", "\\C2842\\"),
    *("C:\\temp\\x", "\\", "\\ F \\"),
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_leaves_what_is_no_text_as_it_is(text: str) -> None:
    assert unescape(text, STANDARD) == text


def test_the_end_of_one_sequence_does_not_begin_another() -> None:
    assert unescape("\\H\\T\\N\\", STANDARD) == "\\H\\T\\N\\"


def test_the_truncation_character_is_escaped_only_where_it_is_declared() -> None:
    assert escape("a#b", TRUNCATING) == r"a\P\b"
    assert unescape(r"a\P\b", TRUNCATING) == "a#b"
    assert escape("a#b", STANDARD) == "a#b"


def test_uses_the_delimiters_of_the_message() -> None:
    assert escape("a!b*c|d", ODD) == "a$F$b$S$c|d"
    assert unescape("a$F$b$S$c|d", ODD) == "a!b*c|d"


def test_control_characters_never_reach_the_wire() -> None:
    assert escape("\x0b\x1c\r\n\t", STANDARD) == "\\X0B\\\\X1C\\\\X0D\\\\.br\\\\X09\\"


def test_refuses_to_write_a_delimiter_without_an_escape_character() -> None:
    bare = declared("|", "^~")
    assert escape("text", bare) == "text"
    with pytest.raises(FormatError) as caught:
        escape("a|b", bare)
    assert caught.value.reason == "no-escape-character"


@given(st.text(), st.sampled_from([STANDARD, TRUNCATING, ODD]))
def test_any_text_comes_back(text: str, delimiters: Delimiters) -> None:
    escaped = escape(text, delimiters)
    assert unescape(escaped, delimiters) == text
    for mark in (delimiters.field, delimiters.component, delimiters.subcomponent, delimiters.repetition, "\r", "\n"):
        assert mark not in escaped


@pytest.mark.parametrize(
    ("field", "characters"),
    [
        ("|", ""),
        ("|", "^~\\&#!"),
        ("|", "^^\\&"),
        ("|", "|~\\&"),
        ("A", "^~\\&"),
        ("|", "^~\\A"),
        ("|", "^ \\&"),
        ("|", "^~\\é"),
        ("", "^"),
    ],
)
def test_delimiters_that_cannot_separate_are_refused(field: str, characters: str) -> None:
    with pytest.raises(FormatError) as caught:
        declared(field, characters)
    assert caught.value.reason == "bad-delimiters"


def test_delimiters_may_be_left_out_from_the_right() -> None:
    assert declared("|", "^~") == Delimiters("|", "^", "~", "", "", "")
    assert declared("|", "^~\\&#").truncation == "#"

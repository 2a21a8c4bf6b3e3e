from __future__ import annotations

import pytest

from hcsyncd.errors import FormatError
from hcsyncd.formats.text import TextDocument, TextFormat, TextOptions
from hcsyncd.message import Keys

NOTE = "\ufeffWard 3\r\nBed ü\n\nlast".encode()


def test_reads() -> None:
    document = TextDocument(NOTE)
    assert document.text == document.get("text") == "Ward 3\r\nBed ü\n\nlast"
    assert document.lines == document.all("line") == ["Ward 3", "Bed ü", "", "last"]
    assert document.get("line[2]") == "Bed ü"
    assert document.get("line[9]") is None
    assert document.to_bytes() == NOTE


def test_a_changed_line_keeps_its_end() -> None:
    document = TextDocument(NOTE)
    document.set("line[1]", "Ward 4")
    assert document.to_bytes() == NOTE.replace(b"Ward 3", b"Ward 4")
    document.set("text", "new")
    assert document.to_bytes() == "\ufeffnew".encode()


@pytest.mark.parametrize("path", ["line[5]", "line"])
def test_a_line_that_is_not_there_is_not_written(path: str) -> None:
    with pytest.raises(FormatError, match="the text has 4 lines"):
        TextDocument(NOTE).set(path, "x")


@pytest.mark.parametrize("path", ["", "lines", "line[0]", "line[x]", "text[1]"])
def test_a_bad_path_is_refused(path: str) -> None:
    with pytest.raises(FormatError) as caught:
        TextDocument(NOTE).get(path)
    assert caught.value.reason == "bad-path"


def test_the_character_set_is_the_channel_s() -> None:
    assert TextDocument("ñ".encode("latin-1"), "latin-1").text == "ñ"
    with pytest.raises(FormatError, match="set the format's charset") as caught:
        TextDocument(b"ab\xff")
    assert (caught.value.reason, caught.value.offset) == ("not-decodable", 2)
    document = TextDocument(b"", "ascii")
    document.text = "ñ"
    with pytest.raises(FormatError, match=r"ascii cannot write U\+00F1"):
        document.to_bytes()


def test_keys_are_where_the_channel_says() -> None:
    assert TextFormat(TextOptions(type_path="line[2]")).peek(NOTE).keys == Keys("Bed ü", "", "", "")

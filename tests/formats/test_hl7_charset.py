from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.charset import (
    ASCII,
    CHARSETS,
    LATIN_1,
    UTF_8,
    Charset,
    charset_named,
    charset_of,
    declared_charset,
)

TABLE_0211 = {
    "ASCII": "ascii",
    "8859/1": "latin-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR6": "ascii",
    "ISO IR14": "cp932",
    "ISO IR87": "iso2022_jp_ext",
    "ISO IR159": "iso2022_jp_ext",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    # spellings of the field
    "UTF-8": "utf-8",
    "utf8": "utf-8",
    "ISO-8859-1": "latin-1",
    "ISO 8859-15": "iso8859-15",
    "8859-1": "latin-1",
    "ISO-2022-JP": "iso2022_jp_ext",
    "windows-1252": "cp1252",
}


@pytest.mark.parametrize("name", TABLE_0211)
def test_knows_the_table_and_the_spellings_of_the_field(name: str) -> None:
    charset = charset_named(name)
    assert charset is not None
    assert charset.codec == TABLE_0211[name]


@pytest.mark.parametrize("name", ["", "KLINGON", "UNICODE UTF-16", "8859/99"])
def test_knows_what_it_does_not_know(name: str) -> None:
    assert charset_named(name) is None


@pytest.mark.parametrize(
    ("msh_18", "body", "expected"),
    [
        ("", b"plain", UTF_8),
        ("", "Müller".encode(), UTF_8),
        ("", "Müller".encode("latin-1"), LATIN_1),
        ("KLINGON", "Müller".encode("latin-1"), LATIN_1),
        ("ASCII", b"plain", ASCII),
        ("ASCII", "Müller".encode(), UTF_8),
        ("ASCII", "Müller".encode("latin-1"), LATIN_1),
        ("8859/2", "Łódź".encode("iso8859-2"), CHARSETS["88592"]),
        ("UNICODE UTF-8", b"M\xfcller", UTF_8),
        ("~ISO IR87", "山田".encode("iso2022_jp_ext"), CHARSETS["ISOIR87"]),
        ("ASCII~ISO IR87", b"plain", CHARSETS["ISOIR87"]),
        ("GB 18030-2000", b"M\xfc|ller\xff", LATIN_1),
    ],
)
def test_goes_by_the_declaration_and_then_by_the_bytes(msh_18: str, body: bytes, expected: Charset) -> None:
    assert charset_of(declared_charset(msh_18, "~"), body) == expected


SAMPLES = {
    "ASCII": "Smith",
    "UNICODE UTF-8": "Zoë 山田 😀",
    "8859/1": "Müller ñ",
    "8859/5": "Иванов",
    "8859/15": "€ œuvre",
    "ISO IR87": "山田^太郎 ソ表能 ﾔﾏﾀﾞ ABC",
    "ISO IR14": "ソ表能十 ﾔﾏﾀﾞ",
    "GB 18030-2000": "王小明 乗亅 㐀",
    "BIG-5": "許功蓋",
    "KS X 1001": "홍길동",
    "EUC-JP": "山田",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_text_comes_back_in_every_set(name: str) -> None:
    charset = charset_named(name)
    assert charset is not None
    text = SAMPLES[name]
    wire = charset.encode(text)
    assert charset.dump(wire) == text.encode(charset.codec)
    assert charset.decode(wire) == text
    assert charset.load(text.encode(charset.codec)) == wire


@pytest.mark.parametrize("name", ["ISO IR87", "ISO IR14", "GB 18030-2000", "BIG-5"])
def test_bytes_of_characters_are_no_delimiters(name: str) -> None:
    charset = charset_named(name)
    assert charset is not None
    text = SAMPLES[name].replace("^", "")
    raw = text.encode(charset.codec)
    assert any(byte in raw for byte in b"^|~\\&"), "the sample must hold a byte that looks like a delimiter"
    assert not any(mark in charset.load(raw) for mark in "^|~\\&")


def test_what_a_set_lacks_is_refused_with_the_fix() -> None:
    with pytest.raises(
        FormatError, match=r"8859/1.* cannot write U\+0141; set MSH-18 to UNICODE UTF-8 first"
    ) as caught:
        LATIN_1.encode("Łódź")
    assert caught.value.reason == "not-encodable"


def test_a_value_that_is_invalid_in_the_set_is_read_all_the_same() -> None:
    assert UTF_8.decode(UTF_8.load(b"M\xfcller")) == "Müller"
    assert CHARSETS["ISOIR87"].decode(CHARSETS["ISOIR87"].load("Müller".encode())) == "Müller"


@given(st.binary(), st.sampled_from(sorted({charset.name for charset in CHARSETS.values()})))
def test_any_bytes_come_back_and_can_be_read(body: bytes, name: str) -> None:
    charset = charset_named(name)
    assert charset is not None
    wire = charset.load(body)
    assert charset.dump(wire) == body
    charset.decode(wire).encode()

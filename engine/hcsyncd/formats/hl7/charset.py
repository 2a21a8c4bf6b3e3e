"""Character sets of MSH-18 (HL7 table 0211, v2.5.1 §2.14.9.18), and how a body is held while it is cut up.

A body is held as *wire text*: a ``str`` in which each character stands for one byte. Cutting it at delimiters is then
safe and fast, and every byte comes back as it was, decodable or not. Only a single value that somebody asks for is
decoded. In the few multi-byte sets whose later bytes look like delimiters (ISO-2022-JP, Shift-JIS, GB 18030, Big5),
they are lifted out of the range of bytes while they are held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hcsyncd.errors import FormatError

MAX_NAMES = 100  # characters of MSH-18 that are looked at: what is remembered of senders has a bound
LIFT = 0x100
LIFTED = {byte: byte + LIFT for byte in range(0x80)}
LOWERED = {lifted: byte for byte, lifted in LIFTED.items()}

# Everything between a shift to a 7-bit set of two bytes, or of Katakana, and the next shift: JIS X 0202 (ISO 2022).
SHIFTED = re.compile(r"(?:\x1b\$(?:[@AB]|\([@-G])|\x1b\(I)[^\x1b\r\n]+")
SHIFT_JIS = re.compile(r"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]")
GB_18030 = re.compile(r"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[0-9][\x81-\xfe][0-9])")
BIG5 = re.compile(r"[\x81-\xfe][\x40-\x7e\xa1-\xfe]")


@dataclass(frozen=True, slots=True)
class Charset:
    """One character set: Python's codec, and where its multi-byte characters stand if they may hold delimiters."""

    name: str  # as table 0211 has it
    codec: str
    multibyte: re.Pattern[str] | None = None

    def load(self, body: bytes) -> str:
        """Bytes to wire text."""
        text = body.decode("latin-1")
        return self._lift(text) if self.multibyte else text

    def dump(self, text: str) -> bytes:
        """Wire text to the bytes it came from."""
        return (text.translate(LOWERED) if self.multibyte else text).encode("latin-1")

    def decode(self, text: str) -> str:
        """A piece of wire text as what it says. What the set cannot read is read as UTF-8, else as Latin-1."""
        if text.isascii() and not (self.multibyte and "\x1b" in text):
            return text
        raw = self.dump(text)
        for codec in (self.codec, "utf-8"):
            try:
                return raw.decode(codec)
            except UnicodeDecodeError:
                continue
        return raw.decode("latin-1")

    def encode(self, value: str) -> str:
        """Text as wire text. Raises FormatError (``not-encodable``) when the message's set has no such character."""
        if value.isascii():
            return value
        try:
            return self.load(value.encode(self.codec))
        except UnicodeEncodeError as error:
            character = f"U+{ord(value[error.start]):04X}"
            text = (
                f"the message's character set ({self.name}) cannot write {character}; set MSH-18 to UNICODE UTF-8 first"
            )
            raise FormatError("not-encodable", text) from error

    def reads(self, body: bytes) -> bool:
        """Whether all of ``body`` is valid in this set."""
        try:
            body.decode(self.codec)
        except UnicodeDecodeError:
            return False
        return True

    def _lift(self, text: str) -> str:
        assert self.multibyte is not None
        return self.multibyte.sub(lambda found: found[0][0] + found[0][1:].translate(LIFTED), text)


ASCII = Charset("ASCII", "ascii")
UTF_8 = Charset("UNICODE UTF-8", "utf-8")
LATIN_1 = Charset("8859/1", "latin-1")
ISO_2022_JP = Charset("ISO IR87", "iso2022_jp_ext", SHIFTED)

# HL7 table 0211 and the spellings seen in the field, without blanks and punctuation.
CHARSETS: dict[str, Charset] = {
    **dict.fromkeys(("ASCII", "USASCII", "ISOIR6", "ISO646"), ASCII),
    **dict.fromkeys(("UNICODEUTF8", "UTF8", "UNICODE", "ISO10646"), UTF_8),
    **{
        prefix + str(part): Charset(f"8859/{part}", "latin-1" if part == 1 else f"iso8859-{part}")
        for part in (*range(1, 12), *range(13, 17))
        for prefix in ("8859", "ISO8859")
    },
    **dict.fromkeys(("ISOIR87", "ISO2022JP", "ISOIR159", "JISX0208", "JISX0212"), ISO_2022_JP),
    **dict.fromkeys(("ISOIR14", "ISOIR13", "SHIFTJIS", "SJIS"), Charset("ISO IR14", "cp932", SHIFT_JIS)),
    **dict.fromkeys(("GB180302000", "GB18030", "GBK"), Charset("GB 18030-2000", "gb18030", GB_18030)),
    **dict.fromkeys(("BIG5",), Charset("BIG-5", "big5", BIG5)),
    **dict.fromkeys(("KSX1001", "EUCKR"), Charset("KS X 1001", "euc_kr")),
    **dict.fromkeys(("EUCJP",), Charset("EUC-JP", "euc_jp")),
    **dict.fromkeys(("GB2312",), Charset("GB 2312", "gb2312")),
    **dict.fromkeys(("WINDOWS1252", "CP1252"), Charset("WINDOWS-1252", "cp1252")),
}


def charset_named(name: str) -> Charset | None:
    """The set that a value of table 0211, or a common spelling of it, stands for; None when it is not known."""
    return CHARSETS.get("".join(filter(str.isalnum, name.upper())))


@lru_cache(maxsize=256)
def declared_charset(msh_18: str, repetition: str) -> Charset | None:
    """The set that MSH-18 names. Of its repetitions the first one beyond ASCII counts: those behind it are alternates,
    and ISO 2022 starts out in ASCII by itself. None when it is not said or not known."""
    known = [charset for name in msh_18.split(repetition or None) if (charset := charset_named(name))]
    return next((charset for charset in known if charset is not ASCII), ASCII if known else None)


def charset_of(declared: Charset | None, body: bytes) -> Charset:
    """The set to read ``body`` with. One that was not declared, or that the bytes belie where that would move
    delimiters, is UTF-8 where the bytes allow it, else Latin-1."""
    if declared is None or (declared is ASCII and not body.isascii()):
        return UTF_8 if UTF_8.reads(body) else LATIN_1
    if declared.multibyte and not declared.reads(body):
        return UTF_8 if UTF_8.reads(body) else LATIN_1
    return declared

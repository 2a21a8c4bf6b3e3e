"""Plain text in a known character set, addressed by lines: ``text`` is all of it, ``line[3]`` the third line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from hcsyncd.errors import FormatError
from hcsyncd.formats.body import BodyFormat, BodyOptions, decode_text, encode_text, known_charset
from hcsyncd.formats.format import FormatKind
from hcsyncd.options import option

PATH = re.compile(r"text|line(?:\[([1-9][0-9]*)\])?")
LINE = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")


class TextDocument:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_charset", "_mark", "_text")

    def __init__(self, body: bytes, charset: str = "utf-8") -> None:
        """Raises FormatError (``not-decodable``)."""
        self._mark, self._text = decode_text(body, charset)
        self._charset = charset
        self._body: bytes | None = body  # None once the text was changed

    @property
    def text(self) -> str:
        """All of it, without a byte order mark."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self._text = text
        self._body = None

    @property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return [found[1] for found in self._line_matches()]

    def get(self, path: str) -> str | None:
        """``text``, or a line counted from 1; None when there is no such line."""
        values = self.all(path)
        return values[0] if values else None

    def all(self, path: str) -> list[str]:
        """``line`` gives every line."""
        number = _line_number(path)
        if path == "text":
            return [self._text]
        return self.lines if number is None else self.lines[number - 1 : number]

    def entries(self) -> Iterator[tuple[str, str]]:
        return ((f"line[{number}]", line) for number, line in enumerate(self.lines, 1) if line)

    def set(self, path: str, value: str) -> None:
        """Write the text, or a line that is there."""
        number = _line_number(path)
        if path == "text":
            self.text = value
            return
        matches = self._line_matches()
        if number is None or number > len(matches):
            raise FormatError("bad-path", f"{path} cannot be set: the text has {len(matches)} lines")
        found = matches[number - 1]
        self.text = self._text[: found.start()] + value + found[2] + self._text[found.end() :]

    def to_bytes(self) -> bytes:
        """Raises FormatError (``not-encodable``)."""
        if self._body is not None:
            return self._body
        return self._mark + encode_text(self._text, self._charset)

    def _line_matches(self) -> list[re.Match[str]]:
        return [found for found in LINE.finditer(self._text) if found[0]]


def _line_number(path: str) -> int | None:
    found = PATH.fullmatch(path)
    if found is None:
        raise FormatError("bad-path", f"{path!r} is not a path into text: write text, line or line[3]")
    return int(found[1]) if found[1] else None


class TextOptions(BodyOptions):
    """Options of the format `text`."""

    charset: Annotated[str, AfterValidator(known_charset)] = option("utf-8", "The character set, as Python names it.")

    @classmethod
    def check_path(cls, path: str) -> None:
        _line_number(path)


class TextFormat(BodyFormat):
    """Text without structure."""

    name = "text"
    content_type = "text/plain"

    def __init__(self, options: TextOptions) -> None:
        super().__init__(options)
        self._charset = options.charset

    def parse(self, body: bytes) -> TextDocument:
        return TextDocument(body, self._charset)


FORMAT = FormatKind("text", "plain text", TextOptions, TextFormat)

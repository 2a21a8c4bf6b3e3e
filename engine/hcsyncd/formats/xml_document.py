"""XML, addressed by paths from the root element down: ``order/line[2]/@id``, ``Invoice/cac:InvoiceLine/cbc:ID``.

A step without a prefix stands for any namespace. Places count from 1, as in XPath; a step without a place stands for
all elements of that name, or the first. Document type declarations are refused: no entity bombs, no files, no
network.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from xml.dom.minidom import Document as Tree, Element, Text
from xml.parsers import expat

from defusedxml import minidom

from hcsyncd.errors import FormatError
from hcsyncd.formats.body import BodyFormat, BodyOptions
from hcsyncd.formats.format import FormatKind

NAME = r"[^\W\d][\w.\-]*"
PATH = re.compile(
    rf"/?({NAME}(?::{NAME})?(?:\[[1-9][0-9]*\])?)((?:/{NAME}(?::{NAME})?(?:\[[1-9][0-9]*\])?)*)(/@[\w.:\-]+)?"
)
MAX_DEPTH = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One element on the way: its name, and which of that name; 0 stands for any."""

    name: str
    place: int = 0


@dataclass(frozen=True, slots=True)
class XmlPath:
    """A path that was read; ``attribute`` is "" when it leads to an element."""

    steps: tuple[Step, ...]
    attribute: str = ""


class XmlDocument:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_tree")

    def __init__(self, body: bytes) -> None:
        """Raises FormatError: ``bad-xml``, ``dtd``, ``too-deep``."""
        check_xml(body)
        self._body: bytes | None = body  # None once something was changed
        self._tree: Tree = minidom.parse(io.BytesIO(body), forbid_dtd=True)

    def get(self, path: str) -> str | None:
        """The text of the first element, or the value of its attribute, at ``path``; None when nothing is there."""
        values = self.all(path)
        return values[0] if values else None

    def __getitem__(self, path: str) -> str:
        return self.get(path) or ""

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def all(self, path: str) -> list[str]:
        """The text of every element at ``path``. Blanks around the text of an element that holds elements are layout,
        and left out."""
        place = parse_xml_path(path)
        found = self._reach(place.steps)
        if place.attribute:
            attributes = (_attribute(element, place.attribute) for element in found)
            return [element.getAttribute(name) for element, name in zip(found, attributes, strict=True) if name]
        return [_text(element) for element in found]

    def entries(self) -> Iterator[tuple[str, str]]:
        """Every attribute and every text, with its path."""
        root = self._tree.documentElement
        return _entries(root, root.tagName) if root is not None else iter(())

    def set(self, path: str, value: str) -> None:
        """Write the text of an element, in place of all that is in it, or an attribute. The last element on the way
        is made when it is not there; raises FormatError (``bad-path``) when one before it is not."""
        place = parse_xml_path(path)
        found = self._reach(place.steps)
        element = found[0] if found else self._append(place.steps, path)
        if place.attribute:
            element.setAttribute(_attribute(element, place.attribute) or place.attribute, value)
        else:
            for child in list(element.childNodes):
                element.removeChild(child)
            element.appendChild(self._tree.createTextNode(value))
        self._body = None

    def __setitem__(self, path: str, value: str) -> None:
        self.set(path, value)

    def delete(self, path: str) -> None:
        """Take the first element, or its attribute, at ``path`` away."""
        place = parse_xml_path(path)
        for element in self._reach(place.steps)[:1]:
            if place.attribute:
                name = _attribute(element, place.attribute)
                if not name:
                    return
                element.removeAttribute(name)
            elif isinstance(element.parentNode, Element):
                element.parentNode.removeChild(element)
            else:
                raise FormatError("read-only", f"{path} cannot be deleted: it is the root element")
            self._body = None

    __delitem__ = delete

    def to_bytes(self) -> bytes:
        """As it was, or, when something was changed, rendered in the encoding it came in."""
        if self._body is not None:
            return self._body
        encoding = self._tree.encoding or "utf-8"
        rendered: bytes = self._tree.toxml(encoding)
        return rendered

    def _reach(self, steps: tuple[Step, ...]) -> list[Element]:
        root = self._tree.documentElement
        if root is None or not _is_named(root, steps[0]) or steps[0].place > 1:
            return []
        found = [root]
        for step in steps[1:]:
            found = [child for element in found for child in _children(element, step)]
        return found

    def _append(self, steps: tuple[Step, ...], path: str) -> Element:
        """Make the last element of ``steps`` below the first element that the others lead to."""
        last = steps[-1]
        above = self._reach(steps[:-1]) if len(steps) > 1 else []
        if not above or last.place > len(_children(above[0], Step(last.name))) + 1:
            raise FormatError(
                "bad-path", f"{path} cannot be set: there is nothing to put {last.name} into, or one before it"
            )
        made = self._tree.createElement(last.name)
        above[0].appendChild(made)
        return made


def check_xml(body: bytes) -> None:
    """Raise FormatError when ``body`` is not well-formed (``bad-xml``), declares a document type (``dtd``) or nests
    deeper than any business document does (``too-deep``). Builds no tree."""
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> None:
        raise FormatError(
            "dtd", "document type declarations are refused: remove <!DOCTYPE ...>", parser.CurrentByteIndex
        )

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise FormatError("too-deep", f"elements are nested deeper than {MAX_DEPTH}", parser.CurrentByteIndex)

    def leave(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = enter
    parser.EndElementHandler = leave
    try:
        parser.Parse(body)
        parser.Parse(b"", True)  # noqa: FBT003 - the end of the input; it takes no keyword
    except expat.ExpatError as error:
        text = f"not XML: {expat.ErrorString(error.code)}, line {error.lineno}, column {error.offset + 1}"
        raise FormatError("bad-xml", text, max(parser.ErrorByteIndex, 0)) from error
    except (LookupError, ValueError) as error:
        raise FormatError("bad-xml", f"not readable XML: {error}") from error


@lru_cache(maxsize=4096)
def parse_xml_path(path: str) -> XmlPath:
    """Read a path. Raises FormatError (``bad-path``)."""
    found = PATH.fullmatch(path)
    if found is None:
        raise FormatError("bad-path", f"{path!r} is not a path into XML such as order/line[2]/@id")
    first, rest, attribute = found.groups()
    steps = []
    for part in (first + rest).split("/"):
        name, _, place = part.rstrip("]").partition("[")
        steps.append(Step(name, int(place or 0)))
    return XmlPath(tuple(steps), attribute[2:] if attribute else "")


def _entries(element: Element, path: str) -> Iterator[tuple[str, str]]:
    for name, value in element.attributes.items():
        if value and name != "xmlns" and not name.startswith("xmlns:"):
            yield f"{path}/@{name}", value
    if text := _text(element):
        yield path, text
    counted: Counter[str] = Counter()
    for child in element.childNodes:
        if isinstance(child, Element):
            counted[child.tagName] += 1
            place = f"[{counted[child.tagName]}]" if counted[child.tagName] > 1 else ""
            yield from _entries(child, f"{path}/{child.tagName}{place}")


def _is_named(element: Element, step: Step) -> bool:
    return step.name in (element.tagName, element.localName)


def _children(element: Element, step: Step) -> list[Element]:
    named = [child for child in element.childNodes if isinstance(child, Element) and _is_named(child, step)]
    return named[step.place - 1 : step.place] if step.place else named


def _attribute(element: Element, name: str) -> str:
    """The attribute's name as the document writes it, "" when the element has none such."""
    if element.hasAttribute(name):
        return name
    # SIM118: a NamedNodeMap is not iterable by itself.
    return next((full for full in element.attributes.keys() if full.rpartition(":")[2] == name), "")  # noqa: SIM118


def _text(element: Element) -> str:
    text = "".join(child.data for child in element.childNodes if isinstance(child, Text))
    return text.strip() if any(isinstance(child, Element) for child in element.childNodes) else text


class XmlOptions(BodyOptions):
    """Options of the format `xml`."""

    @classmethod
    def check_path(cls, path: str) -> None:
        parse_xml_path(path)


class XmlFormat(BodyFormat):
    """One XML document."""

    name = "xml"
    content_type = "application/xml"

    def parse(self, body: bytes) -> XmlDocument:
        return XmlDocument(body)

    def check(self, body: bytes) -> None:
        check_xml(body)


FORMAT = FormatKind("xml", "XML, one document a message, without document type declarations", XmlOptions, XmlFormat)

"""Every format there is. A new one is a file that ends in its descriptor, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hcsyncd.formats import delimited, fixed, json_document, text, xml_document
from hcsyncd.formats.format import Format, FormatKind
from hcsyncd.formats.hl7 import format as hl7
from hcsyncd.options import Options

FORMATS: Mapping[str, FormatKind] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (hl7.FORMAT, json_document.FORMAT, xml_document.FORMAT, delimited.FORMAT, fixed.FORMAT, text.FORMAT)
    }
)


def build_format(kind: str, options: Options) -> Format:
    """The format of that kind. Lint has seen to it that there is one and that the options are its own."""
    return FORMATS[kind].build(options)

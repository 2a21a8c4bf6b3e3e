"""hcsyncd: an interface engine for the hospital supply chain. __all__ is what authors of transforms may use."""

from hcsyncd.errors import Reject, UnmappedCode
from hcsyncd.formats.delimited import DelimitedDocument
from hcsyncd.formats.fixed import FixedDocument
from hcsyncd.formats.hl7.document import Encoded, Hl7Document
from hcsyncd.formats.json_document import JsonDocument
from hcsyncd.formats.text import TextDocument
from hcsyncd.formats.xml_document import XmlDocument
from hcsyncd.plugins.api import Context, Drop, Out, filter, transform  # noqa: A004 - the word of routes.yaml

__version__ = "0.1.0"

__all__ = [
    "Context",
    "DelimitedDocument",
    "Drop",
    "Encoded",
    "FixedDocument",
    "Hl7Document",
    "JsonDocument",
    "Out",
    "Reject",
    "TextDocument",
    "UnmappedCode",
    "XmlDocument",
    "filter",
    "transform",
]

"""hcsyncd: an interface engine for the hospital supply chain. What a transform's author may use is listed in __all__.

The names are looked up when they are first used: a command that only asks the daemon something must not wait for every
format to be imported.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hcsyncd.errors import Reject, UnmappedCode
    from hcsyncd.formats.delimited import DelimitedDocument
    from hcsyncd.formats.fixed import FixedDocument
    from hcsyncd.formats.hl7.document import Encoded, Hl7Document
    from hcsyncd.formats.json_document import JsonDocument
    from hcsyncd.formats.text import TextDocument
    from hcsyncd.formats.xml_document import XmlDocument
    from hcsyncd.plugins.api import Context, Drop, Out, filter, transform  # noqa: A004 - the author's own word

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

_HOMES = MappingProxyType(
    {
        "hcsyncd.errors": ("Reject", "UnmappedCode"),
        "hcsyncd.formats.delimited": ("DelimitedDocument",),
        "hcsyncd.formats.fixed": ("FixedDocument",),
        "hcsyncd.formats.hl7.document": ("Encoded", "Hl7Document"),
        "hcsyncd.formats.json_document": ("JsonDocument",),
        "hcsyncd.formats.text": ("TextDocument",),
        "hcsyncd.formats.xml_document": ("XmlDocument",),
        "hcsyncd.plugins.api": ("Context", "Drop", "Out", "filter", "transform"),
    }
)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'hcsyncd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

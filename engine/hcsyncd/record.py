"""What travels through the engine is a record: immutable, compared by value, cheap to make."""

from __future__ import annotations

from msgspec import Struct


class Record(Struct, frozen=True, gc=False):
    """The base of everything that is passed along. Several are made for each message, so they are msgspec structs: a
    frozen dataclass of twenty fields takes ten times as long to make (docs/adr/0005).

    ``repr`` shows the size of bytes and never their content: a record may end up in a log or a traceback, a message may
    not. Records are not tracked by the collector (``gc=False``): one that may be part of a cycle says otherwise.
    """

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) and value else repr(value)

"""What configuration is told of connectors, which it cannot see: kinds, their options, and one line of summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from hcsyncd.options import Options

Direction = Literal["source", "destination"]
FindConnector = Callable[[str, Direction], type[Options] | None]
"""The option class of a kind of connector in one direction; None when there is no such kind."""
ConnectorKinds = Callable[[Direction], Sequence[str]]
"""The kinds there are in one direction."""

IMPLIED_FORMAT = {"mllp": "hl7"}
"""Kinds of connector that carry one format by their own standard; for all others a channel must name its format."""


class Kind(Protocol):
    """A connector's or a format's descriptor, as the generators of schema, reference and samples need it."""

    @property
    def kind(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def options(self) -> type[Options]: ...


class ConnectorKind(Kind, Protocol):
    """A connector's descriptor; ``role`` is ``source`` or ``destination``."""

    @property
    def role(self) -> str: ...

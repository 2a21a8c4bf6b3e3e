"""Every connector there is. A new one is a file that ends in its descriptor, and one line here."""

from __future__ import annotations

from hcsyncd.connectors import (
    folder_destination,
    folder_source,
    http_destination,
    http_source,
    mllp_destination,
    mllp_source,
)
from hcsyncd.connectors.connector import Connector, Role

CONNECTORS: tuple[Connector, ...] = (
    mllp_source.CONNECTOR,
    mllp_destination.CONNECTOR,
    http_source.CONNECTOR,
    http_destination.CONNECTOR,
    folder_source.CONNECTOR,
    folder_destination.CONNECTOR,
)

_BY_NAME = {(connector.kind, connector.role): connector for connector in CONNECTORS}


def find(kind: str, role: Role) -> Connector | None:
    """The connector of that kind for that role; None when there is none."""
    return _BY_NAME.get((kind, role))

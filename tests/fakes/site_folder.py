"""A small site in a folder, with connectors that exist only here: what configuration needs to be tried out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from hcsyncd.config.kinds import Direction
from hcsyncd.config.load import Loaded, load_site
from hcsyncd.config.model import OneOrMany, Site
from hcsyncd.options import Options, option

SOURCE = """\
source:
  kind: mllp
  port: 0
"""
DESTINATION = """\
format: json
destination:
  kind: http
  url: http://127.0.0.1:8080/events
"""
ROUTES = """\
routes:
  - name: events
    from: adt_in
    transform: adt.to_event
    to: events_out
"""


class FakeTls(Options):
    """Nested options of a listener."""

    certificate: str = option(doc="Certificate chain, PEM.")
    key_password: SecretStr = option(SecretStr(""), doc="Password of the private key.")


class FakeListener(Options):
    """Options of a listener."""

    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(..., "Port to listen on.", ge=0, le=65535, example=2575)
    timeout_secs: float = option(30.0, "For one frame.", unit="seconds", gt=0)
    tls: FakeTls | None = option(None, "TLS of the listener.")
    allow: OneOrMany = option(default_factory=list, doc="Addresses that may connect.")


class FakeBasic(Options):
    """Name and password."""

    user: str = option(..., "The name.")
    password: SecretStr = option(..., "The password.")


class FakePoster(Options):
    """Options of an HTTP destination."""

    url: str = option(..., "Where to post.", example="https://example.org/events")
    method: Literal["POST", "PUT"] = option("POST", "The method.")
    token: SecretStr = option(SecretStr(""), "Bearer token.")
    headers: dict[str, SecretStr] = option(default_factory=dict, doc="More headers.")
    basic: FakeBasic | None = option(None, "Name and password.")
    statuses: list[int] = option(default_factory=list, doc="What counts as success.")
    attempts: int | Literal["many"] = option(1, "How often.")


@dataclass(frozen=True, slots=True)
class FakeConnector:
    """The descriptor of a connector that exists only here."""

    kind: str
    role: Direction
    summary: str
    options: type[Options]


CONNECTORS = (
    FakeConnector("mllp", "source", "Receives HL7 over MLLP.", FakeListener),
    FakeConnector("http", "source", "Receives by HTTP.", FakeListener),
    FakeConnector("mllp", "destination", "Sends HL7 over MLLP.", FakeListener),
    FakeConnector("http", "destination", "Posts by HTTP.", FakePoster),
)


def find_connector(kind: str, role: Direction) -> type[Options] | None:
    return next((one.options for one in CONNECTORS if (one.kind, one.role) == (kind, role)), None)


def connector_kinds(role: Direction) -> Sequence[str]:
    return [one.kind for one in CONNECTORS if one.role == role]


class SiteFolder:
    """Starts as a site without any finding: an HL7 source, a JSON destination, and a route between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("channels/adt_in.yaml", SOURCE)
        self.write("channels/events_out.yaml", DESTINATION)
        self.write("routes.yaml", ROUTES)

    def write(self, name: str, content: str | bytes) -> SiteFolder:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        return self

    def load(self, **environment: str) -> Loaded:
        return load_site(self.folder, find_connector, connector_kinds, environment)

    def site(self, **environment: str) -> Site:
        """The loaded site, where the test expects one."""
        loaded = self.load(**environment)
        assert loaded.site is not None, "\n".join(map(str, loaded.findings))
        return loaded.site

    def findings(self, **environment: str) -> list[str]:
        """Every finding as a person reads it."""
        return [str(finding) for finding in self.load(**environment).findings]

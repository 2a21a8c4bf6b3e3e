"""Routes as a test writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hcsyncd.config.model import Route, RouteOptions


def route(name: str = "r", **options: Any) -> Route:
    return Route(RouteOptions(**{"name": name, "from": "adt_in", "to": "out", **options}), Path("routes.yaml"), 1)

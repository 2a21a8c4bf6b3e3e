"""The editors' schema: whole in itself, and of one mind with what lint accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from hcsyncd.config.model import ChannelOptions
from hcsyncd.config.schema import DRAFT, SCHEMA_NAMES, Schema, SchemaName, schema
from hcsyncd.config.spec import options_of
from hcsyncd.formats.registry import FORMATS
from tests.fakes.site_folder import CONNECTORS

FORMAT_KINDS = tuple(FORMATS.values())


def made(name: SchemaName) -> Schema:
    return schema(name, CONNECTORS, FORMAT_KINDS)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for item in node:
            yield from nodes(item)


def pointed_at(node: Schema, root: Schema) -> Schema:
    found: Schema = root["$defs"].get(node.get("$ref", "").removeprefix("#/$defs/"), {})
    return found


def accepts(node: Schema, value: Any, root: Schema) -> bool:
    """A validator of the keywords that these schemas use, no more."""
    if "$ref" in node:
        return accepts(pointed_at(node, root), value, root)
    if "anyOf" in node and not any(accepts(branch, value, root) for branch in node["anyOf"]):
        return False
    if "oneOf" in node and sum(accepts(branch, value, root) for branch in node["oneOf"]) != 1:
        return False
    if ("const" in node and value != node["const"]) or ("enum" in node and value not in node["enum"]):
        return False
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    wanted = node.get("type")
    if wanted == "null":
        return value is None
    if wanted and (not isinstance(value, kinds[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
        return False
    if isinstance(value, str) and not re.search(node.get("pattern", ""), value):
        return False
    if isinstance(value, list):
        return all(accepts(node.get("items", {}), item, root) for item in value)
    if isinstance(value, dict):
        return _accepts_object(node, value, root)
    return not isinstance(value, (int, float)) or node.get("minimum", value) <= value <= node.get("maximum", value)


def _accepts_object(node: Schema, value: dict[str, Any], root: Schema) -> bool:
    if not set(node.get("required", ())) <= set(value):
        return False
    properties = node.get("properties", {})
    others = node.get("additionalProperties", True)
    for key, inner in value.items():
        judge = properties.get(key, others)
        if judge is False or (isinstance(judge, dict) and not accepts(judge, inner, root)):
            return False
    return True


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_schema_is_whole(name: SchemaName) -> None:
    found = made(name)
    assert found["$schema"] == DRAFT
    assert json.loads(json.dumps(found)) == found
    referenced = {node["$ref"].removeprefix("#/$defs/") for node in nodes(found) if isinstance(node.get("$ref"), str)}
    assert referenced <= set(found["$defs"])
    assert set(found["$defs"]) - referenced <= {"Reference"}


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_options_are_described_to_the_editor(name: SchemaName) -> None:
    found = made(name)
    silent = [
        key
        for node in nodes(found)
        for key, option in node.get("properties", {}).items()
        if key not in {"routes", "cases"} and not {**pointed_at(option, found), **option}.get("description")
    ]
    assert silent == []


def test_a_channels_schema_has_all_its_options() -> None:
    assert set(made("channel")["properties"]) == {*options_of(ChannelOptions), "source", "destination", "format"}


CHANNELS: tuple[tuple[bool, dict[str, Any]], ...] = (
    (True, {"source": {"kind": "mllp", "port": 0}}),
    (True, {"source": {"kind": "mllp", "port": "${PORT:-2575}"}, "enabled": "${ON}"}),
    (
        True,
        {"source": {"kind": "mllp", "port": 1, "allow": "10.0.0.0/8", "tls": {"certificate": "x"}}, "format": "hl7"},
    ),
    (True, {"destination": {"kind": "http", "url": "x", "headers": {"a": "b"}}, "format": {"kind": "json"}}),
    (True, {"destination": {"kind": "http", "url": "x"}, "retry": {"first_secs": 1.5}, "on_dead": "hold"}),
    (False, {"source": {"kind": "mllp"}}),
    (False, {"source": "mllp"}),
    (False, {"source": {"kind": "mllp", "port": 70000}}),
    (False, {"source": {"kind": "mllp", "port": "2575"}}),
    (False, {"source": {"kind": "mlp", "port": 0}}),
    (False, {"source": {"kind": "mllp", "port": 0, "url": "x"}}),
    (False, {"source": {"kind": "mllp", "port": 0}, "destination": {"kind": "http", "url": "x"}}),
    (False, {"enabled": True}),
    (False, {"source": {"kind": "mllp", "port": 0}, "format": "hl8"}),
    (False, {"source": {"kind": "mllp", "port": 0}, "acknowledge": "storred"}),
    (False, {"source": {"kind": "mllp", "port": 0}, "descripton": "x"}),
)


@pytest.mark.parametrize(("expected", "channel"), CHANNELS)
def test_the_channel_schema_judges_as_lint_does(expected: bool, channel: dict[str, Any]) -> None:
    found = made("channel")
    assert accepts(found, channel, found) is expected


ROUTES: tuple[tuple[bool, dict[str, Any]], ...] = (
    (True, {"name": "a", "from": "x", "to": ["y", "z"], "when": {"type": ["A", "B"], "PV1-44": True}}),
    (False, {"name": "a", "from": "x"}),
    (False, {"name": "a", "source": ["x"], "to": "y"}),
    (False, {"name": "a", "from": "x", "to": "y", "when": {"type": 1}}),
)


@pytest.mark.parametrize(("expected", "route"), ROUTES)
def test_the_routes_schema_judges_as_lint_does(expected: bool, route: dict[str, Any]) -> None:
    found = made("routes")
    assert accepts(found, {"routes": [route]}, found) is expected


def test_cases_hold_no_references() -> None:
    found = made("cases")
    case = {"name": "a", "message": {"file": "x"}, "unrouted": True}
    assert accepts(found, {"cases": [case]}, found)
    assert not accepts(found, {"cases": [{**case, "unrouted": "${X}"}]}, found)

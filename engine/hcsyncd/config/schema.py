"""JSON Schema (draft 2020-12) of the YAML files, for editors: made of the same option classes that lint uses.

A number, a boolean or a choice may also be written as a reference (``${PORT:-2575}``), so each of them admits one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, assert_never

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from hcsyncd.config.cases import CaseOptions
from hcsyncd.config.kinds import IMPLIED_FORMAT, ConnectorKind, Kind
from hcsyncd.config.model import ChannelOptions, DaemonOptions, RouteOptions
from hcsyncd.options import Options

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SchemaName = Literal["daemon", "channel", "routes", "cases"]
SCHEMA_NAMES: tuple[SchemaName, ...] = ("daemon", "channel", "routes", "cases")
DEFS = "#/$defs/"
REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "A reference, like ${NAME:-default}."}

Schema = dict[str, Any]


def schema(name: SchemaName, connectors: Sequence[ConnectorKind], formats: Sequence[Kind]) -> Schema:
    """The schema of one sort of file: ``hcsyncd.yaml``, ``channels/<name>.yaml``, ``routes.yaml`` or
    ``channels/<name>.test.yaml``."""
    body, definitions = _file(name, connectors, formats)
    if name != "cases":
        definitions = {key: _admit_references(value) for key, value in definitions.items()}
        body = _admit_references(body)
        definitions["Reference"] = REFERENCE
    return {"$schema": DRAFT, "title": f"hcsyncd: {name}", **body, "$defs": dict(sorted(definitions.items()))}


def _file(
    name: SchemaName, connectors: Sequence[ConnectorKind], formats: Sequence[Kind]
) -> tuple[Schema, dict[str, Schema]]:
    match name:
        case "daemon":
            return _of_one(DaemonOptions)
        case "channel":
            return _channel(connectors, formats)
        case "routes":
            return _list_of("routes", RouteOptions)
        case "cases":
            return _list_of("cases", CaseOptions)
        case _:
            assert_never(name)


def _definitions(classes: Iterable[type[Options]]) -> tuple[dict[type[Options], str], dict[str, Schema]]:
    """The name of each class's definition, and the definitions of all of them and of what they are made of."""
    mode: JsonSchemaMode = "validation"
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(options, mode) for options in dict.fromkeys(classes)]
    refs, top = models_json_schema(wanted, by_alias=True, ref_template=f"{DEFS}{{model}}")
    names = {options: str(refs[options, mode]["$ref"]).removeprefix(DEFS) for options in dict.fromkeys(classes)}
    return names, dict(top.get("$defs", {}))


def _of_one(options: type[Options]) -> tuple[Schema, dict[str, Schema]]:
    names, definitions = _definitions([options])
    return definitions.pop(names[options]), definitions


def _list_of(key: str, options: type[Options]) -> tuple[Schema, dict[str, Schema]]:
    names, definitions = _definitions([options])
    listed = {"type": "array", "items": {"$ref": DEFS + names[options]}}
    return _object({key: listed}, [key]), definitions


def _channel(connectors: Sequence[ConnectorKind], formats: Sequence[Kind]) -> tuple[Schema, dict[str, Schema]]:
    groups: dict[str, list[Kind]] = {
        "source": [kind for kind in connectors if kind.role == "source"],
        "destination": [kind for kind in connectors if kind.role == "destination"],
        "format": list(formats),
    }
    classes: list[type[Options]] = [ChannelOptions, *(kind.options for group in groups.values() for kind in group)]
    names, definitions = _definitions(classes)
    body = definitions[names[ChannelOptions]]
    properties: Schema = dict(body.pop("properties"))
    for group, kinds in groups.items():
        for kind in kinds:
            definitions[f"{group}_{kind.kind}"] = _with_kind(definitions[names[kind.options]], kind)
        properties[group] = {
            "description": _MEANINGS[group],
            "anyOf": [*({"$ref": f"{DEFS}{group}_{kind.kind}"} for kind in kinds), _bare(kinds)],
        }
    for name in set(names.values()):
        definitions.pop(name)  # each stands under its kind now, and the channel's own is the body
    ways = [{"required": ["source"]}, {"required": ["destination"]}]
    return {**body, "properties": properties, "oneOf": ways}, definitions


_MEANINGS = {
    "source": "What receives: its kind and that kind's options. A channel is a source or a destination.",
    "destination": "What sends: its kind and that kind's options. A channel is a source or a destination.",
    "format": "What the bodies are: a kind, alone or with options. Only these connectors imply one: "
    + ", ".join(f"{connector} ({form})" for connector, form in IMPLIED_FORMAT.items())
    + ".",
}


def _with_kind(definition: Schema, kind: Kind) -> Schema:
    properties = {"kind": {"const": kind.kind, "description": kind.summary}, **definition.get("properties", {})}
    return {**definition, "properties": properties, "required": ["kind", *definition.get("required", [])]}


def _bare(kinds: list[Kind]) -> Schema:
    """A kind by its name alone, where none of its options is required."""
    return {"enum": [kind.kind for kind in kinds if not kind.options.model_json_schema().get("required")]}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _admit_references(node: Any) -> Any:
    """The same schema, where every number, boolean and choice may be a reference instead."""
    if isinstance(node, list):
        return [_admit_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in {"integer", "number", "boolean"} or "enum" in node:
        about = {key: value for key, value in node.items() if key in _ANNOTATIONS}
        value = {key: value for key, value in node.items() if key not in _ANNOTATIONS}
        return {**about, "anyOf": [value, {"$ref": f"{DEFS}Reference"}]}
    return {key: _below(key, value) for key, value in node.items()}


_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "unit"})


def _below(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _admit_references(inner) for name, inner in value.items()}
    if key in {"items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems"}:
        return _admit_references(value)
    return value

"""What an option class says of itself: names, defaults, units, and the values it takes, in plain words.

Lint, reference docs and samples read the classes through this file; the editors' schema comes from pydantic.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    SecretStr: "a text (a secret)",
    Path: "a path",
    bytes: "a text",
}
_PLURALS: dict[Any, str] = {
    bool: "true or false",
    int: "whole numbers",
    float: "numbers",
    str: "texts",
    SecretStr: "texts (secrets)",
}
_PATTERNS = {NAME_PATTERN: "lower-case letters, digits and _, starting with a letter"}
_LISTS = (list, tuple, set, frozenset, Sequence)
_TABLES = (dict, Mapping)


@dataclass(frozen=True, slots=True)
class Shape:
    """One way a value may look: a type without its optional, union and annotation wrappers, and its bounds."""

    type: Any
    bounds: tuple[Any, ...] = ()
    unit: str = ""

    @property
    def origin(self) -> Any:
        return get_origin(self.type) or self.type

    @property
    def is_list(self) -> bool:
        return self.origin in _LISTS or (
            isinstance(self.origin, type) and issubclass(self.origin, (list, tuple, set, frozenset))
        )

    @property
    def is_table(self) -> bool:
        return self.origin in _TABLES or (isinstance(self.origin, type) and issubclass(self.origin, dict))

    @property
    def model(self) -> type[BaseModel] | None:
        return self.type if isinstance(self.type, type) and issubclass(self.type, BaseModel) else None


@dataclass(frozen=True, slots=True)
class Option:
    """One option as a person writes it."""

    name: str
    shapes: tuple[Shape, ...]
    required: bool
    default: Any
    doc: str
    unit: str
    example: Any

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        """The option classes of a nested mapping, or of the items of a list or mapping."""
        found = [shape.model for shape in self.shapes if shape.model]
        for shape in self.shapes:
            found += [inner.model for inner in items(shape) if inner.model]
        return tuple(dict.fromkeys(found))

    @property
    def is_secret(self) -> bool:
        return any(shape.type is SecretStr for shape in leaves(self.shapes))

    @property
    def allowed(self) -> str:
        """What it takes, with bounds and unit: ``a number of seconds, more than 0``."""
        return describe(self.shapes)


@cache
def options_of(options: type[BaseModel]) -> Mapping[str, Option]:
    """The options of a class by the names that people write, in the order of the class."""
    return {field.alias or name: _option(field.alias or name, field) for name, field in options.model_fields.items()}


def _option(name: str, field: FieldInfo) -> Option:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    required = field.is_required()
    unit = str(extra.get("unit", ""))
    default = None if required else field.get_default(call_default_factory=True, validated_data={})
    return Option(
        name=name,
        shapes=shapes(field.annotation, tuple(field.metadata), unit),
        required=required,
        default=None if default is PydanticUndefined else default,
        doc=field.description or "",
        unit=unit,
        example=field.examples[0] if field.examples else None,
    )


def shapes(annotation: Any, bounds: tuple[Any, ...] = (), unit: str = "") -> tuple[Shape, ...]:
    """Every way a value of ``annotation`` may look, None left out."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        for bound in more:
            bounds += tuple(bound.metadata) if isinstance(bound, FieldInfo) else (bound,)
        return shapes(inner, bounds, unit)
    accepted = [bound.json_schema_input_type for bound in bounds if isinstance(bound, BeforeValidator)]
    if accepted and accepted[0] not in {
        Any,
        PydanticUndefined,
    }:  # more may be written than is kept
        length = tuple(bound for bound in bounds if not isinstance(bound, BeforeValidator))
        written = shapes(accepted[0], (), unit)
        return tuple(Shape(shape.type, length, unit) if shape.is_list else shape for shape in written)
    if origin in {Union, types.UnionType}:
        return tuple(shape for part in get_args(annotation) for shape in shapes(part, bounds, unit))
    if annotation is None or annotation is type(None):
        return ()
    return (Shape(annotation, bounds, unit),)


def items(shape: Shape) -> tuple[Shape, ...]:
    """What the items of a list, or the values of a mapping, may look like."""
    arguments = get_args(shape.type)
    if shape.is_table:
        return shapes(arguments[1]) if len(arguments) == 2 else ()
    if shape.is_list:
        return tuple(found for argument in arguments if argument is not Ellipsis for found in shapes(argument))
    return ()


def below(outer: Sequence[Shape], step: str | int) -> tuple[Shape, ...]:
    """What may stand at ``step`` (a key or an index) of a value that looks like one of ``outer``."""
    found: list[Shape] = []
    for shape in outer:
        if isinstance(step, str) and shape.model:
            option = options_of(shape.model).get(step)
            found += option.shapes if option else ()
        elif (isinstance(step, str) and shape.is_table) or (isinstance(step, int) and shape.is_list):
            found += items(shape)
    return tuple(found)


def leaves(outer: Sequence[Shape]) -> tuple[Shape, ...]:
    """What a single value may be, where a list may also be given as its only item."""
    return tuple(leaf for shape in outer for leaf in (items(shape) if shape.is_list else (shape,)))


def choices(shape: Shape) -> tuple[Any, ...]:
    """The values of an enumeration, () when it is none."""
    if get_origin(shape.type) is Literal:
        return tuple(value.value if isinstance(value, Enum) else value for value in get_args(shape.type))
    if isinstance(shape.type, type) and issubclass(shape.type, Enum):
        return tuple(member.value for member in shape.type)
    return ()


def describe(outer: Sequence[Shape]) -> str:
    """What is allowed, in plain words."""
    words = list(dict.fromkeys(_describe(shape) for shape in outer))
    return _join(words) if words else "left out"


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _describe(shape: Shape) -> str:
    allowed = choices(shape)
    if allowed:
        return ("one of " if len(allowed) > 1 else "") + ", ".join(plain(value) for value in allowed)
    if shape.model:
        return "a mapping"
    if shape.is_list or shape.is_table:
        word = "a list" if shape.is_list else "a mapping"
        inner = items(shape)
        if inner and not any(item.model for item in inner):
            word += f" of {_PLURALS[inner[0].type]}" if _is_simple(inner) else f", each item {describe(inner)}"
        return word + (f" ({bounds})" if (bounds := _bounds(shape.bounds, "item")) else "")
    word = _WORDS.get(shape.type, getattr(shape.type, "__name__", "a value"))
    if shape.unit and shape.type in {int, float}:
        word += f" of {shape.unit}"
    return word + (f", {bounds}" if (bounds := _bounds(shape.bounds, "character")) else "")


def _is_simple(inner: Sequence[Shape]) -> bool:
    return len(inner) == 1 and not inner[0].bounds and inner[0].type in _PLURALS


def _bounds(bounds: Sequence[Any], counted: str) -> str:
    low = [("at least", bound.ge) for bound in bounds if getattr(bound, "ge", None) is not None]
    low += [("more than", bound.gt) for bound in bounds if getattr(bound, "gt", None) is not None]
    high = [("at most", bound.le) for bound in bounds if getattr(bound, "le", None) is not None]
    high += [("less than", bound.lt) for bound in bounds if getattr(bound, "lt", None) is not None]
    words = [f"{word} {plain(value)}" for word, value in low + high]
    if low and high and (low[0][0], high[0][0]) == ("at least", "at most"):
        words = [f"from {plain(low[0][1])} to {plain(high[0][1])}"]
    for bound in bounds:
        if getattr(bound, "min_length", None):
            words.append(f"at least {bound.min_length} {counted}{'s' if bound.min_length > 1 else ''}")
        if getattr(bound, "max_length", None) is not None:
            words.append(f"at most {bound.max_length} {counted}s")
        if getattr(bound, "pattern", None):
            words.append(_PATTERNS.get(str(bound.pattern), f"like {bound.pattern}"))
    return ", ".join(words)


def plain(value: Any) -> str:
    """A value as it is written in YAML, for a person."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Enum):
        return str(value.value)
    return str(value)

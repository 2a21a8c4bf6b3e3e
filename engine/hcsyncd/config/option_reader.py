"""A table of the tree becomes an option object, or findings at the offending key or value, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from hcsyncd.config.finding import Place, Report, closest, suggestion
from hcsyncd.config.references import Resolved
from hcsyncd.config.spec import Shape, below, choices, describe, leaves, options_of
from hcsyncd.config.yaml_tree import Entry, Listing, Node, Scalar, Table
from hcsyncd.options import Options

AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(slots=True)
class _Spot:
    """What an error's location leads to: the node, the key it hangs on, and what may stand there."""

    node: Node
    key_place: Place
    shapes: tuple[Shape, ...]
    name: str  # dotted, as people write it; "" is the whole table
    rest: tuple[str | int, ...] = ()  # steps of the location that the tree does not have


class OptionReader:
    """Reads option tables of one site; every fault goes to the report."""

    def __init__(self, resolve: Callable[[Scalar], Resolved], report: Report) -> None:
        self._resolve = resolve
        self._report = report

    def read(
        self, options: type[AnyOptions], table: Table, *, at: Place | None = None, beside: Sequence[str] = ()
    ) -> AnyOptions | None:
        """An object of ``options``, or None with findings. ``at`` is where a missing option is reported, ``beside``
        names keys that the caller reads himself, for the hint at an unknown one."""
        data = self._data(table, (Shape(options),), "")
        try:
            return options.model_validate(data)
        except ValidationError as error:
            root = _Spot(table, at or table.place, (Shape(options),), "")
            for detail in error.errors(include_url=False, include_context=True, include_input=False):
                self._explain(root, detail, beside)
            return None

    def text(self, scalar: Scalar) -> str:
        """A single text with its references put in."""
        return self._resolve(scalar).text

    def _data(self, node: Node, shapes: tuple[Shape, ...], name: str) -> Any:
        """Plain data for pydantic, with references put in; what pydantic would silently bend is refused here."""
        match node:
            case Table():
                return {
                    key: self._data(entry.value, below(shapes, key), f"{name}.{key}" if name else key)
                    for key, entry in node.entries.items()
                }
            case Listing():
                return [self._data(item, below(shapes, index), name) for index, item in enumerate(node.items)]
            case Scalar():
                resolved = self._resolve(node)
                self._guard_type(node, shapes, name)
                self._guard_secret(node, resolved, shapes, name)
                return resolved.text if isinstance(node.value, str) else node.value

    def _guard_type(self, node: Scalar, shapes: tuple[Shape, ...], name: str) -> None:
        """pydantic takes true for 1 and 1 for true; a person who wrote one did not mean the other."""
        types = {shape.type for shape in leaves(shapes)}
        is_number = isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
        bent = (isinstance(node.value, bool) and bool not in types and types & {int, float}) or (
            is_number and bool in types and not types & {int, float}
        )
        if bent:
            hint = f'quote it: "{node.text}"' if str in types else ""
            self._report.fault(node.place, "bad-value", f"{name} must be {describe(shapes)}, not {node.text}", hint)

    def _guard_secret(self, node: Scalar, resolved: Resolved, shapes: tuple[Shape, ...], name: str) -> None:
        if any(shape.type is SecretStr for shape in leaves(shapes)):
            if isinstance(node.value, str) and resolved.text:
                self._report.hide(resolved.text)
                if resolved.is_literal:
                    self._report.warn(
                        node.place, "literal-secret", f"{name} stands in the file", "write ${secret:NAME} instead"
                    )
        elif resolved.has_secret:
            self._report.fault(
                node.place, "exposed-secret", f"{name} is shown in status and logs; it cannot hold a secret"
            )

    def _explain(self, root: _Spot, detail: Any, beside: Sequence[str]) -> None:
        kind: str = detail["type"]
        spot = _locate(root, detail["loc"])
        if kind == "missing":
            self._missing(spot)
        elif kind == "extra_forbidden":
            self._unknown(spot, root, detail["loc"], beside)
        elif spot.node is root.node:  # a rule over several options
            self._report.error(root.key_place, "bad-value", _message(detail))
        elif isinstance(spot.node, Scalar) and spot.node.value is None and kind != "value_error":
            hint = "give it a value, or delete the line"
            if not self._report.is_faulted(spot.node.place):
                self._report.fault(spot.key_place, "bad-value", f"{spot.name} has no value", hint)
        elif kind in {"value_error", "assertion_error"}:
            self._report.fault(spot.node.place, "bad-value", f"{spot.name}: {_message(detail)}")
        else:
            self._wrong(spot, detail)

    def _missing(self, spot: _Spot) -> None:
        missing = str(spot.rest[-1])
        options = [
            options_of(shape.model)[missing]
            for shape in spot.shapes
            if shape.model and missing in options_of(shape.model)
        ]
        doc = options[0].doc if options else ""
        hint = f"{doc} It takes {options[0].allowed}." if options else ""
        name = f"{spot.name}.{missing}" if spot.name else missing
        self._report.error(spot.key_place, "missing-option", f"{name} is required", hint.strip())

    def _unknown(self, spot: _Spot, root: _Spot, loc: tuple[str | int, ...], beside: Sequence[str]) -> None:
        parent = _locate(root, loc[:-1])
        known = [name for shape in parent.shapes if shape.model for name in options_of(shape.model)]
        if parent.node is root.node:
            known += beside
        name = str(loc[-1])
        self._report.fault(spot.key_place, "unknown-option", name, suggestion(name, known))

    def _wrong(self, spot: _Spot, detail: Any) -> None:
        shapes = spot.shapes
        words = describe(shapes) if shapes else _message(detail)
        text = f"{spot.name} must be {words}" if shapes else f"{spot.name}: {words}"
        hint = ""
        if isinstance(spot.node, Scalar):
            secret = any(shape.type is SecretStr for shape in leaves(shapes))
            if not secret and "${" not in spot.node.text and len(spot.node.text) <= 60:
                text += f", not {spot.node.text or 'an empty text'}"
            allowed = [str(value) for shape in leaves(shapes) for value in choices(shape)]
            near = closest(spot.node.text, allowed)
            types = {shape.type for shape in leaves(shapes)}
            if near:
                hint = f"did you mean {near}?"
            elif not isinstance(spot.node.value, str) and types & {str, SecretStr}:
                hint = "quote it" if secret else f'quote it: "{spot.node.text}"'
        self._report.fault(spot.node.place, "bad-value", text, hint)


def _message(detail: Any) -> str:
    """A validator's own words, or pydantic's."""
    text = str(detail["msg"])
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _locate(root: _Spot, loc: Sequence[str | int]) -> _Spot:
    """Follow pydantic's location through the tree. Steps that name a branch of a union are no steps of the tree."""
    spot = root
    rest: list[str | int] = []
    for step in loc:
        entry: Entry | None = None
        if isinstance(spot.node, Table) and isinstance(step, str):
            entry = spot.node.entries.get(step)
        if entry is not None:
            spot = _step_into(spot, entry)
            rest = []
        elif isinstance(spot.node, Listing) and isinstance(step, int) and step < len(spot.node.items):
            item = spot.node.items[step]
            spot = _Spot(item, item.place, below(spot.shapes, step), spot.name)
            rest = []
        else:
            rest.append(step)
    return _Spot(spot.node, spot.key_place, spot.shapes, spot.name, tuple(rest))


def _step_into(spot: _Spot, entry: Entry) -> _Spot:
    name = f"{spot.name}.{entry.key}" if spot.name else entry.key
    return _Spot(entry.value, entry.key_place, below(spot.shapes, entry.key), name)


def scalars(node: Node) -> Iterator[Scalar]:
    """A scalar or the scalars of a list, where people may write either."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Listing):
        yield from (item for item in node.items if isinstance(item, Scalar))

"""The option spec: one typed class feeds parsing, lint, the editors' JSON schema, reference docs and samples.

A connector, a format or a part of the site declares its options as a subclass of `Options`, each field made by
`option`. The docs and the schema say what the field says, and nothing is written twice.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Base of every option class: frozen, strict about unknown names, compared by value (reload relies on that)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def option(default: Any = ..., doc: str = "", *, unit: str = "", example: Any = None, **bounds: Any) -> Any:
    """Declare one option: its default (``...`` makes it required), its meaning, its unit, an example.

    ``bounds`` are pydantic's (``ge``, ``le``, ``min_length``, ``pattern``, ``default_factory``). Secrets are typed
    ``pydantic.SecretStr``, which keeps them out of every ``repr`` and dump.
    """
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    examples = None if example is None else [example]
    if "default_factory" in bounds:
        return Field(description=doc, examples=examples, json_schema_extra=extra or None, **bounds)
    return Field(default, description=doc, examples=examples, json_schema_extra=extra or None, **bounds)

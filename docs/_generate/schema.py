"""JSON schemas in a few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .markdown import code


def type_of(schema: Mapping[str, Any], named: Callable[[str], str] = str) -> str:
    """What a schema allows.

    Args:
        schema: of a value.
        named: how a schema that has a name is written.
    """
    if "$ref" in schema:
        return named(schema["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in schema:
        return " or ".join(type_of(choice, named) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(code(str(choice)) for choice in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    if "items" in schema:
        return f"array of {type_of(schema['items'], named)}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {type_of(values, named)}"
    return str(schema.get("type", "any"))

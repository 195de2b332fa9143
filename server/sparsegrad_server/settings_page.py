"""The page `docs/settings.md`, made from the settings themselves; and names that are mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .settings import PREFIX, SECTIONS, Section, Settings

# The client's own, which may be set on the same machine; see `sparsegrad-client --help`.
CLIENT_VARIABLES = frozenset(f"{PREFIX}{name}" for name in ("SERVER", "TOKEN", "HOME"))

_HEAD = """\
# Settings of the server

Made by `sparsegrad-server settings --markdown`; a test compares.

Every setting is a variable of the environment. `serve` and `worker` take a few as options too
(`--data`, `--host`, `--port`, `--threads`), which win. Names that begin with `SPARSEGRAD_` and are
no setting are warned of, with the nearest name. Times are in seconds or days, sizes in bytes, as
the names say; lists are separated by commas. `sparsegrad-server settings` shows what is in effect.
"""
_COLUMNS = "| variable | value | default | meaning |\n|---|---|---|---|\n"
_KINDS: dict[Any, str] = {
    Path: "path",
    str: "text",
    SecretStr: "secret",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
}
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def markdown() -> str:
    """The page, whole."""
    return _HEAD + "".join(map(_table, SECTIONS))


def variable(name: str) -> str:
    """A setting's name in the environment."""
    return f"{PREFIX}{name.upper()}"


def in_effect(settings: Settings) -> Iterator[dict[str, object]]:
    """What each setting is, where it comes from; what may hold a secret is only said to be set."""
    for name, field in chain.from_iterable(part.model_fields.items() for part in SECTIONS):
        value = getattr(settings, name)
        hidden = value is not None and not field.repr
        yield {
            "variable": variable(name),
            "value": "***" if hidden else _plain(value),
            "from": "set" if name in settings.model_fields_set else "default",
        }


def unknown_variables(environment: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Variables that look like settings and are none, each with the nearest name, if any is near.

    Args:
        environment: the names of all variables.
    """
    for found in sorted(environment):
        if not found.upper().startswith(PREFIX) or found.upper() in CLIENT_VARIABLES:
            continue
        name = found[len(PREFIX) :].lower()
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, 1)
            yield found, variable(near[0]) if near else None


def _table(section: type[Section]) -> str:
    rows = "".join(_row(name, field) for name, field in section.model_fields.items())
    return f"\n## {section.title}\n\n{_COLUMNS}{rows}"


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{variable(name)}`", _kind(field), _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _kind(field: FieldInfo) -> str:
    return _kind_of(field.annotation) + _bounds(field)


def _kind_of(annotation: object) -> str:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        (present,) = (part for part in get_args(annotation) if part is not NoneType)
        return _kind_of(present)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    return "list" if origin is tuple else _KINDS[annotation]


def _bounds(field: FieldInfo) -> str:
    """What the setting is held to, such as ", at least 1"."""
    words = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    found = [
        f", {word} {_number(getattr(part, bound))}"
        for part in field.metadata
        for bound, word in words
        if getattr(part, bound, None) is not None
    ]
    return "".join(found)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "depends on the machine"
    value = field.default
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return _number(value)
    return f"`{_plain(value)}`"


def _number(value: float) -> str:
    """A number as people read it, with its size where it is a round number of bytes."""
    if isinstance(value, int):
        for unit, size in _UNITS:
            if value and value % size == 0:
                return f"`{value}` ({value // size} {unit})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value

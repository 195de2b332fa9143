"""Members of the documents that files hold, from the pydantic models that read them."""

from __future__ import annotations

from importlib import import_module
from inspect import getdoc

from pydantic import BaseModel

from .docstrings import split
from .markdown import code, escaped, paragraphs, table
from .schema import type_of


def markdown(module: str, *names: str) -> str:
    """A table of members for each model.

    Args:
        module: its dotted name.
        names: of the models.
    """
    found = import_module(module)
    return paragraphs(*(_model(getattr(found, name)) for name in names))


def docstring(module: str) -> str:
    """What a module says about itself, as it stands."""
    said = (import_module(module).__doc__ or "").strip()
    return f"```{{eval-rst}}\n{said}\n```"


def _model(model: type[BaseModel]) -> str:
    said, meanings = split(getdoc(model) or "")
    rows = (
        (code(name), type_of(schema), escaped(schema.get("description") or meanings.get(name, "")))
        for name, schema in model.model_json_schema()["properties"].items()
    )
    return paragraphs(
        f"**{model.__name__}**: {escaped(said)}", table(("member", "type", "meaning"), rows)
    )

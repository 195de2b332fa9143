"""Members of the documents that files hold, from the pydantic models that read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc

from pydantic import BaseModel

from .markdown import code, escaped, paragraphs, table
from .schema import type_of

_ATTRIBUTES = re.compile(r"^Attributes:\n(?P<listed>(?:[ ]+.*\n?)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


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
    about = getdoc(model) or ""
    meanings = _meanings(about)
    rows = (
        (code(name), type_of(schema), escaped(schema.get("description") or meanings.get(name, "")))
        for name, schema in model.model_json_schema()["properties"].items()
    )
    said = escaped(_ATTRIBUTES.sub("", about))
    return paragraphs(f"**{model.__name__}**: {said}", table(("member", "type", "meaning"), rows))


def _meanings(about: str) -> Mapping[str, str]:
    listed = _ATTRIBUTES.search(about)
    return dict(_ATTRIBUTE.findall(listed["listed"])) if listed else {}

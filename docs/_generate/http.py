"""The HTTP interface, from the OpenAPI document that the server makes of its own routes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sparsegrad_server.app import create_app
from sparsegrad_server.settings import Settings

from .docstrings import split
from .markdown import code, escaped, paragraphs, table
from .schema import type_of

Json = Mapping[str, Any]
_PROBLEM = "application/problem+json"


@cache
def _document() -> Json:
    with tempfile.TemporaryDirectory() as folder:
        document: Json = create_app(Settings(data=Path(folder))).openapi()
    return document


def routes() -> str:
    """Every route by its tag: parameters, body, and what it answers when all is well."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in _document()["paths"].items():
        for method, operation in methods.items():
            section = _operation(method, path, operation)
            by_tag.setdefault(operation["tags"][0], []).append(section)
    return paragraphs(*(paragraphs(f"## {tag}", *parts) for tag, parts in by_tag.items()))


def schemas() -> str:
    """Every schema, with its members."""
    found = sorted(_document()["components"]["schemas"].items())
    return paragraphs(*(_schema(name, schema) for name, schema in found))


def _operation(method: str, path: str, operation: Json) -> str:
    rows = (
        (code(it["name"]), _where(it), escaped(it.get("description", "")))
        for it in operation.get("parameters", ())
    )
    return paragraphs(
        f"### {method.upper()} {path}",
        *(escaped(part) for part in operation.get("description", "").split("\n\n")),
        table(("parameter", "where and what", "meaning"), rows),
        _body(operation.get("requestBody")),
        table(("answer", "body", "meaning"), _answers(operation)),
        _refusals(operation),
    )


def _where(parameter: Json) -> str:
    needed = "" if parameter.get("required") else ", optional"
    return f"{parameter['in']}, {_type(parameter.get('schema', {}))}{needed}"


def _body(body: Json | None) -> str:
    if body is None:
        return ""
    return f"Body: {_content(body)}. {escaped(body.get('description', ''))}"


def _answers(operation: Json) -> Iterator[tuple[str, str, str]]:
    for status, answer in operation["responses"].items():
        if _PROBLEM not in answer.get("content", {}):
            yield status, _content(answer), escaped(answer.get("description", ""))


def _refusals(operation: Json) -> str:
    refused = sorted(
        (status, escaped(answer["description"]))
        for status, answer in operation["responses"].items()
        if _PROBLEM in answer.get("content", {})
    )
    listed = ", ".join(f"{status} ({said})" for status, said in refused)
    return f"Refused with a problem: {listed}." if listed else ""


def _schema(name: str, schema: Json) -> str:
    needed = set(schema.get("required", ()))
    said, meanings = split(schema.get("description", ""))
    rows = (
        (
            code(member),
            _type(about) + ("" if member in needed else ", optional"),
            escaped(about.get("description") or meanings.get(member, "")),
        )
        for member, about in schema.get("properties", {}).items()
    )
    return paragraphs(
        f"(schema-{name.lower()})=\n### {name}",
        *(escaped(part) for part in said.split("\n\n")),
        table(("member", "type", "meaning"), rows),
    )


def _content(holder: Json) -> str:
    """The media types of a body or an answer, each with its schema."""
    parts = (
        f"{code(media)} {_type(about.get('schema', {}))}".strip()
        for media, about in holder.get("content", {}).items()
    )
    return ", ".join(parts) or "none"


def _type(schema: Json) -> str:
    return type_of(schema, lambda name: f"[{name}](#schema-{name.lower()})")

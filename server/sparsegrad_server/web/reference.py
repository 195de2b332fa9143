"""The page `/docs`: the OpenAPI document, laid out for reading.

All that a browser needs is in the page itself; its policy allows the one style sheet in it, by its
digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
details { border: 1px solid #8885; border-radius: 6px; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; }
""".strip()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_digest(STYLE)}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def render_reference(openapi: Json) -> str:
    """The page of an OpenAPI document, every text in it escaped."""
    info = openapi["info"]
    title = escape(f"{info['title']}, version {info['version']}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
        '<p>As a document for programs: <a href="openapi.json">openapi.json</a>. '
        "Send a token with each request: <code>Authorization: Bearer sg_…</code>.</p>"
        f"{''.join(_sections(openapi))}</body></html>"
    )


def _sections(openapi: Json) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"
    yield "<h2>schemas</h2>"
    for name, schema in sorted(openapi.get("components", {}).get("schemas", {}).items()):
        yield _schema(name, schema)


def _operation(method: str, path: str, operation: Json) -> str:
    rows = [
        (parameter["name"], parameter["in"], _type(parameter.get("schema", {})), parameter)
        for parameter in operation.get("parameters", ())
    ]
    parameters = "".join(
        _row(name, f"{escape(where)}, {kind}", about.get("description", ""))
        for name, where, kind, about in rows
    )
    answers = "".join(
        _row(status, _content(answer), answer.get("description", ""))
        for status, answer in operation.get("responses", {}).items()
    )
    body = operation.get("requestBody")
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + _table("Parameters", parameters)
        + (f"<p>Body: {_content(body)}. {escape(body.get('description', ''))}</p>" if body else "")
        + _table("Answers", answers)
        + "</details>"
    )


def _schema(name: str, schema: Json) -> str:
    needed = set(schema.get("required", ()))
    rows = "".join(
        _row(
            member,
            _type(about) + ("" if member in needed else ", optional"),
            about.get("description", ""),
        )
        for member, about in schema.get("properties", {}).items()
    )
    about = escape(schema.get("description", ""))
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{about}</p>{_table('Members', rows)}</details>"
    )


def _table(title: str, rows: str) -> str:
    return f"<h4>{title}</h4><table>{rows}</table>" if rows else ""


def _row(name: str, kind: str, about: str) -> str:
    """A row of a table; `kind` is markup, the others are text."""
    return f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{escape(about)}</td></tr>"


def _content(holder: Json) -> str:
    """The media types of a body or an answer, each with its schema."""
    return ", ".join(
        f"<code>{escape(media)}</code> {_type(about.get('schema', {}))}"
        for media, about in holder.get("content", {}).items()
    )


def _type(schema: Json) -> str:
    """A schema in a few words, as markup."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return escape(" or ".join(map(str, schema["enum"])))
    if schema.get("type") == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    return escape(str(schema.get("type", "")))

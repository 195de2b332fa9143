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
:root { color-scheme: light dark; --line: light-dark(#e3e4e1, #2d323d);
  --surface: light-dark(#fff, #1a1d24); --muted: light-dark(#5c6370, #a4abb9); }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 64rem; margin: 0 auto;
  padding: 2.25rem 1rem 4rem; color: light-dark(#1c1e24, #e9ebf0);
  background: light-dark(#f8f8f6, #121419); }
a { color: light-dark(#3d56c5, #9fb0ff); text-underline-offset: .2em; }
:focus-visible { outline: 2px solid light-dark(#3d56c5, #9fb0ff); outline-offset: 2px; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; letter-spacing: -.015em; margin: .35rem 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h2, nav a { text-transform: capitalize; }
.skip {
  position: absolute; left: 1rem; top: -4rem; padding: .5rem 1rem; background: var(--surface);
}
.skip:focus { top: .5rem; }
h3 { margin: 1rem 0 .25rem; font-size: .9rem; color: var(--muted); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin-top: 1.25rem; }
details { background: var(--surface); border: 1px solid var(--line); border-radius: 8px;
  margin: .4rem 0; padding: .6rem .9rem; overflow-x: auto; }
details:target { border-color: light-dark(#3d56c5, #9fb0ff); }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; font-size: .85rem; }
summary span { color: var(--muted); padding-left: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0;
  border-top: 1px solid var(--line); }
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
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} · SparseGrad</title><style>{STYLE}</style></head><body>"
        '<a class="skip" href="#content">Skip to the content</a><header>'
        f'<a href="/">SparseGrad</a><h1>{title}</h1></header><main id="content" tabindex="-1">'
        '<p>As a document for programs: <a href="openapi.json">openapi.json</a>. '
        "Send a token with each request: <code>Authorization: Bearer sg_…</code>.</p>"
        f"{''.join(_sections(openapi))}</main></body></html>"
    )


def _sections(openapi: Json) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    yield '<nav aria-label="Parts">'
    yield from (f'<a href="#part-{escape(tag)}">{escape(tag)}</a>' for tag in (*by_tag, "schemas"))
    yield "</nav>"
    for tag, operations in by_tag.items():
        yield f"{_heading(tag)}{''.join(operations)}"
    yield _heading("schemas")
    for name, schema in sorted(openapi.get("components", {}).get("schemas", {}).items()):
        yield _schema(name, schema)


def _heading(part: str) -> str:
    return f'<h2 id="part-{escape(part)}">{escape(part)}</h2>'


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
        f"<span>{escape(operation.get('summary', ''))}</span></summary>"
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
    return f"<h3>{title}</h3><table>{rows}</table>" if rows else ""


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

"""What is wrong with a form, said at its fields."""

from __future__ import annotations

from pydantic import ValidationError

from sparsegrad_shared.errors import InvalidInput

from .words import sentence

_EXPECTED = {
    "shape": "Expected rows by columns, such as 3072x768, 3072x* or *x768.",
    "name": "Expected a namespace and a name, such as team/minilm-cola.",
    "namespace": "Expected a namespace, such as team.",
    "tag": "Expected words of letters, digits, dots, dashes and underscores.",
    "alias": "Expected one word, such as prod.",
    "after": "This is no page of this list; begin at the first one.",
}


def by_field(error: ValidationError) -> dict[str, str]:
    """A sentence for each field that cannot be what it says, by the field's name."""
    found: dict[str, str] = {}
    for complaint in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(complaint["loc"][0]) if complaint["loc"] else ""
        found.setdefault(name, _EXPECTED.get(name, f"{complaint['msg']}."))
    return found


def by_name(error: InvalidInput) -> dict[str, str]:
    """What a list says of its own words (`q: …`) or of its mark (`after: …`), by that name."""
    name, _, said = error.message.partition(": ")
    return {name: _EXPECTED.get(name, sentence(said))}

"""The Python interface: signatures and docstrings, by Sphinx's autodoc."""

from __future__ import annotations

import inspect
from importlib import import_module

from .markdown import paragraphs


def markdown(module: str, *names: str) -> str:
    """The objects of a module, in the given order; all public ones in theirs where none is given.

    Args:
        module: its dotted name, as a user imports it.
        names: what of it.
    """
    found = import_module(module)
    return paragraphs(*(_object(found.__name__, name) for name in names or found.__all__))


def _object(module: str, name: str) -> str:
    it = getattr(import_module(module), name)
    kind = "class" if inspect.isclass(it) else "function" if callable(it) else "data"
    if inspect.isclass(it) and issubclass(it, BaseException):
        kind = "exception"
    return paragraphs(
        f"### {name}",
        f"```{{eval-rst}}\n.. auto{kind}:: {module}.{name}\n```",
    )

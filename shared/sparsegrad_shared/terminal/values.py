"""Values of options that are looked at before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer

from ..errors import InvalidInput

Value = TypeVar("Value", str, list[str])
Check = Callable[[Value | None], Value | None]


def held_to(parse: Callable[[str], object]) -> Check[Any]:
    """A callback for an option: a value that `parse` refuses is wrong usage, by the option's name.

    Args:
        parse: raises `InvalidInput` for what cannot be used; asked of each of several values.
    """

    def check(value: Value | None) -> Value | None:
        for each in [value] if isinstance(value, str) else value or []:
            try:
                parse(each)
            except InvalidInput as error:
                raise typer.BadParameter(error.message) from None
        return value

    return check

"""Values of options that are looked at before anything is done."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ..errors import InvalidInput

Check = Callable[[str | None], str | None]


def held_to(parse: Callable[[str], object]) -> Check:
    """A callback for an option: a value that `parse` refuses is wrong usage, by the option's name.

    Args:
        parse: raises `InvalidInput` for what cannot be used.
    """

    def check(value: str | None) -> str | None:
        if value is not None:
            try:
                parse(value)
            except InvalidInput as error:
                raise typer.BadParameter(error.message) from None
        return value

    return check

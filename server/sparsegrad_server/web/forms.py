"""What a form sends, by its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from sparsegrad_shared.errors import InvalidInput

MEDIA_TYPE = "application/x-www-form-urlencoded"
_FIELDS = 50


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form, each the last of its name; the guard bounds the body.

    Raises:
        InvalidInput: when the body is no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
        raise InvalidInput(f"expected a form ({MEDIA_TYPE})")
    try:
        text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError:
        raise InvalidInput(f"expected a form of at most {_FIELDS} fields, in UTF-8") from None


FormOf = Annotated[Mapping[str, str], Depends(read_form)]

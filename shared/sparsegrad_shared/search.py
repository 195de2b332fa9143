"""What a search asks for, as client and server speak of it.

Every filter that is given has to hold.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StringConstraints

from .calibrations import MAX_TAGS, CalibrationState, Model, Text
from .errors import InvalidInput
from .references import Digest, QualifiedName, Segment

MAX_PAGE = 1000
MAX_WORDS = 20

# A weight's rows by columns, either of which may be any: 3072x768, 3072x*, *x768.
_SHAPE = r"([1-9][0-9]{0,6}|\*)x([1-9][0-9]{0,6}|\*)"
Shape = Annotated[str, StringConstraints(pattern=rf"^{_SHAPE}$")]
Mark = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


def parse_shape(text: str) -> str:
    """A shape to look for, as it was.

    Raises:
        InvalidInput: when `text` is none.
    """
    if re.fullmatch(_SHAPE, text) is None:
        raise InvalidInput(f"expected rows and columns such as 3072x768 or *x768; got {text!r}")
    return text


class Page(Model):
    """A part of a list.

    Attributes:
        limit: the most that the page holds.
        after: `next` of the page before.
    """

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    after: Mark | None = None


class BasisQuery(Page):
    """A search for bases.

    Attributes:
        ref: a reference; the page then holds exactly the basis that it means.
        q: words, each of which is somewhere in the name, the model's or the data set's id, or a
            tag, in capital or small letters.
        name: the name.
        namespace: the name's first half.
        model: the model's id.
        dataset: the data set's id.
        digest: the basis's identity.
        shape: shapes of weights, each of which is that of some group.
        tag: tags of the version.
        alias: an alias that names the version at present.
    """

    ref: str | None = None
    q: Text | None = None
    name: QualifiedName | None = None
    namespace: Segment | None = None
    model: Text | None = None
    dataset: Text | None = None
    digest: Digest | None = None
    shape: Annotated[tuple[Shape, ...], Field(max_length=MAX_WORDS)] = ()
    tag: Annotated[tuple[Segment, ...], Field(max_length=MAX_TAGS)] = ()
    alias: Segment | None = None


class CalibrationQuery(Page):
    """A search for calibrations.

    Attributes:
        state: the state that they are in.
        q: words, each of which is somewhere in the name, in capital or small letters.
        name: the name that their basis is published as.
    """

    state: CalibrationState | None = None
    q: Text | None = None
    name: QualifiedName | None = None

"""Searches, from keyword arguments, and from page to page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeVar

from pydantic import ValidationError

from sparsegrad_shared.calibrations import CalibrationState
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.search import Page

Q = TypeVar("Q", bound=Page)


class BasisFilters(TypedDict, total=False):
    """What a search for bases may ask for; all that is given has to hold.

    Attributes:
        q: words, each of which is in the name, the model's or data set's id, or a tag.
        name: ``team/name``.
        namespace: the name's first half.
        model: the model's id.
        dataset: the data set's id.
        digest: the basis's identity.
        shape: shapes of weights, ``"3072x768"``, ``"3072x*"`` or ``"*x768"``, each of some group.
        tag: tags.
        alias: an alias that names the version.
        limit: versions that the server answers at a time.
    """

    q: str | None
    name: str | None
    namespace: str | None
    model: str | None
    dataset: str | None
    digest: str | None
    shape: Sequence[str]
    tag: Sequence[str]
    alias: str | None
    limit: int


class CalibrationFilters(TypedDict, total=False):
    """What a search for calibrations may ask for.

    Attributes:
        state: open, finished or expired.
        q: words, each of which is in the name.
        name: what the basis is published as.
        limit: calibrations that the server answers at a time.
    """

    state: CalibrationState | None
    q: str | None
    name: str | None
    limit: int


def query_of(kind: type[Q], filters: Mapping[str, object]) -> Q:
    """The query that filters make.

    Raises:
        InvalidInput: when one of them cannot be used; says which.
    """
    try:
        return kind.model_validate(filters)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{where}: {first['msg']}; got {first.get('input')!r}") from None


def following(query: Q, mark: str | None) -> Q | None:
    """The query for the page after the one that ended with `mark`; None when it was the last."""
    return None if mark is None else query.model_copy(update={"after": mark})

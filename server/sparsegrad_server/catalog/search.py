"""The search for bases: by columns and indices alone, no manifest is read to filter."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from sparsegrad_shared.bases import BasisList
from sparsegrad_shared.references import parse_name
from sparsegrad_shared.search import BasisQuery

from . import bases, paging
from .tables import BasisGroupRow, BasisRow, TagRow, VersionRow
from .words import words_of

PROPOSALS = 200  # values that a filter proposes
PAGE_BYTES = 8 << 20  # of manifests in one page, but for the first, which may be longer


def search(session: Session, query: BasisQuery, namespace: str) -> BasisList:
    """A page of the versions that a query asks for and the caller may see, newest first.

    A page ends early rather than hold manifests of more than `PAGE_BYTES`.

    Raises:
        InvalidInput: when `after` is no mark of such a list, or there are too many words.
    """
    found = session.execute(
        select(VersionRow, func.length(BasisRow.manifest))
        .join(BasisRow, BasisRow.digest == VersionRow.digest)
        .where(bases.live(), bases.visible(namespace), *_conditions(query))
        .order_by(
            VersionRow.created.desc(),
            VersionRow.namespace,
            VersionRow.name,
            VersionRow.version.desc(),
        )
        .limit(query.limit + 1)
    ).all()
    fits = fitting([size for _, size in found], query.limit)
    rows = [row for row, _ in found[:fits]]
    last = rows[-1] if len(found) > fits else None
    return BasisList(
        bases=tuple(bases.describe(session, rows)),
        next=None
        if last is None
        else paging.mark_of(last.created, last.namespace, last.name, last.version),
    )


def models(session: Session, namespace: str) -> list[str]:
    """The ids of the models of the bases that the caller may see, in order, some of them."""
    return _known(session, BasisRow.model, namespace)


def datasets(session: Session, namespace: str) -> list[str]:
    """The ids of the data sets of the bases that the caller may see, in order, some of them."""
    return _known(session, BasisRow.dataset, namespace)


def _known(session: Session, column: InstrumentedAttribute[str], namespace: str) -> list[str]:
    return list(
        session.scalars(
            select(column)
            .join(VersionRow, VersionRow.digest == BasisRow.digest)
            .where(bases.live(), bases.visible(namespace))
            .distinct()
            .order_by(column)
            .limit(PROPOSALS)
        )
    )


def fitting(sizes: list[int], limit: int) -> int:
    """How many rows a page holds: at least one, if there is one."""
    within = sum(total <= PAGE_BYTES for total in accumulate(sizes[:limit]))
    return max(within, min(1, len(sizes)))


def _conditions(query: BasisQuery) -> Iterable[ColumnElement[bool]]:
    if query.name is not None:
        namespace, name = parse_name(query.name)
        yield and_(VersionRow.namespace == namespace, VersionRow.name == name)
    if query.namespace is not None:
        yield VersionRow.namespace == query.namespace
    if query.digest is not None:
        yield VersionRow.digest == query.digest
    if query.model is not None:
        yield BasisRow.model == query.model
    if query.dataset is not None:
        yield BasisRow.dataset == query.dataset
    if query.alias is not None:
        yield bases.has_alias(query.alias)
    yield from map(_has_tag, query.tag)
    yield from map(_has_shape, query.shape)
    yield from map(_has_word, words_of(query.q))
    if query.after is not None:
        created, namespace, name, version = paging.read_mark(query.after, str, str, int)
        yield paging.after(
            (VersionRow.created, True, created),
            (VersionRow.namespace, False, namespace),
            (VersionRow.name, False, name),
            (VersionRow.version, True, version),
        )


def _has_word(word: str) -> ColumnElement[bool]:
    name = VersionRow.namespace + "/" + VersionRow.name
    columns = (name, BasisRow.model, BasisRow.dataset)
    return or_(
        *(func.lower(column).contains(word, autoescape=True) for column in columns),
        _tagged(func.lower(TagRow.tag).contains(word, autoescape=True)),
    )


def _has_tag(tag: str) -> ColumnElement[bool]:
    return _tagged(TagRow.tag == tag)


def _tagged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(TagRow.tag)
        .where(
            TagRow.namespace == VersionRow.namespace,
            TagRow.name == VersionRow.name,
            TagRow.version == VersionRow.version,
            condition,
        )
        .exists()
    )


def _has_shape(shape: str) -> ColumnElement[bool]:
    extents = zip((BasisGroupRow.d_out, BasisGroupRow.d_in), shape.split("x"), strict=True)
    wanted = [column == int(extent) for column, extent in extents if extent != "*"]
    return (
        select(BasisGroupRow.name)
        .where(BasisGroupRow.digest == VersionRow.digest, *wanted)
        .exists()
    )

"""What each namespace holds, against its quota."""

from __future__ import annotations

from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from sparsegrad_shared.errors import QuotaExceeded

from .inserting import insert_if_absent
from .tables import NamespaceRow

EVERY_NAMESPACE = "*"


def visible(column: InstrumentedAttribute[str], namespace: str) -> ColumnElement[bool]:
    """The condition that a row is of `namespace`, or of any when that is `EVERY_NAMESPACE`."""
    return true() if namespace == EVERY_NAMESPACE else column == namespace


def bytes_held(session: Session, namespace: str) -> int:
    """Bytes of the namespace's gradients, those being written included."""
    row = session.get(NamespaceRow, namespace, populate_existing=True)
    return 0 if row is None else row.bytes


def check_quota(session: Session, namespace: str, bytes_more: int, limit: int) -> None:
    """Hold a namespace to its quota.

    Raises:
        QuotaExceeded: when `bytes_more` would go over `limit`; says how much there is.
    """
    _hold_to(limit, namespace, bytes_held(session, namespace), bytes_more)


def open_account(session: Session, namespace: str) -> None:
    """Have a row for a namespace, in a writing transaction."""
    if session.get(NamespaceRow, namespace) is None:
        insert_if_absent(session, NamespaceRow, name=namespace, bytes=0)


def hold(session: Session, namespace: str) -> None:
    """Let no other transaction change what names mean in a namespace until this one ends."""
    open_account(session, namespace)
    session.get_one(NamespaceRow, namespace, populate_existing=True, with_for_update=True)


def charge(session: Session, namespace: str, bytes_more: int, limit: int | None = None) -> None:
    """Count bytes that a namespace holds from now on, or, below 0, no longer holds.

    Raises:
        QuotaExceeded: when that would go over `limit`; nothing is counted then.
    """
    row = session.get_one(NamespaceRow, namespace, populate_existing=True, with_for_update=True)
    if limit is not None:
        _hold_to(limit, namespace, row.bytes, bytes_more)
    row.bytes += bytes_more


def _hold_to(limit: int, namespace: str, held: int, bytes_more: int) -> None:
    if held + bytes_more > limit:
        raise QuotaExceeded(
            f"namespace {namespace} may hold {limit} bytes of gradients; it has {held}, "
            f"and {bytes_more} more were asked for"
        )

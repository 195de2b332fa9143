"""What each namespace holds, against its quota."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sparsegrad_shared.errors import QuotaExceeded

from .tables import NamespaceRow


def bytes_held(session: Session, namespace: str) -> int:
    """Bytes of the namespace's gradients, those being written included."""
    row = session.get(NamespaceRow, namespace, populate_existing=True)
    return 0 if row is None else row.bytes


def check_quota(session: Session, namespace: str, bytes_more: int, limit: int) -> None:
    """Hold a namespace to its quota.

    Raises:
        QuotaExceeded: when `bytes_more` would go over `limit`; says how much there is.
    """
    held = bytes_held(session, namespace)
    if held + bytes_more > limit:
        raise QuotaExceeded(
            f"namespace {namespace} may hold {limit} bytes of gradients; it has {held}, "
            f"and {bytes_more} more were asked for"
        )


def open_account(session: Session, namespace: str) -> None:
    """Have a row for a namespace, in a writing transaction."""
    if session.get(NamespaceRow, namespace) is None:
        session.add(NamespaceRow(name=namespace, bytes=0))
        session.flush()


def charge(session: Session, namespace: str, bytes_more: int) -> None:
    """Count bytes that a namespace holds from now on, or, below 0, no longer holds."""
    row = session.get_one(NamespaceRow, namespace, populate_existing=True, with_for_update=True)
    row.bytes += bytes_more

"""Names near to one that is not there, for the message that says so."""

from __future__ import annotations

from difflib import get_close_matches

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from . import namespaces
from .tables import VersionRow

_LOOKED_AT = 500  # names, the newest: a message is not worth a longer search
_SHOWN = 3
_ALIKE = 0.75  # of 1: names of one namespace have its letters in common, and are alike for that


def nearest_names(session: Session, name: str, namespace: str) -> list[str]:
    """Names of bases that look like `name`, the nearest first.

    Args:
        session: the catalog's.
        name: what somebody wrote, namespace/name.
        namespace: what the caller may see; nothing else is told.
    """
    found = session.execute(
        select(VersionRow.namespace, VersionRow.name)
        .where(namespaces.visible(VersionRow.namespace, namespace), VersionRow.deleted.is_(None))
        .group_by(VersionRow.namespace, VersionRow.name)
        .order_by(func.max(VersionRow.created).desc())
        .limit(_LOOKED_AT)
    )
    names = [f"{row.namespace}/{row.name}" for row in found]
    return get_close_matches(name, names, n=_SHOWN, cutoff=_ALIKE)

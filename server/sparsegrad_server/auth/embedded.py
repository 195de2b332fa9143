"""The embedded server's own token: in a file that only its user can read."""

from __future__ import annotations

import os
import stat
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from sparsegrad_shared.errors import Unauthenticated

from ..store.files import flush
from . import tokens
from .principal import EVERY_NAMESPACE

NAME = "embedded"


def ensure(session: Session, file: Path, now: datetime) -> None:
    """Have `file` hold an admin's token for every namespace: the one it has, or a new one.

    The file is made with mode 0600. One that others could read is not trusted, and its token is
    revoked: nobody knows who has read it.
    """
    if _still_good(session, file, now):
        return
    for left_over in file.parent.glob(f"{file.name}.*"):  # of a process that was killed below
        left_over.unlink(missing_ok=True)
    token = tokens.create(session, NAME, EVERY_NAMESPACE, "admin", now)
    aside = file.with_name(f"{file.name}.{token.id}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(token.secret)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)
    flush(file.parent, deep=False)


def _still_good(session: Session, file: Path, now: datetime) -> bool:
    """Whether the file's token can be gone on with; one that others could read is revoked."""
    try:
        with file.open(encoding="ascii") as opened:
            exposed = os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            holder = tokens.verify(session, opened.read(), now)
    except (FileNotFoundError, UnicodeDecodeError, Unauthenticated):
        return False
    if exposed:
        tokens.revoke(session, holder.token_id, now)
    return not exposed

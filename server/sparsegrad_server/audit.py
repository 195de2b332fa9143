"""Who changed what: every change brings its row of the audit log with it, in one transaction.

Nothing in the handlers asks for it. The catalog that the app works with adds the row to each
writing transaction of a request, so that what was acknowledged has its row for certain. The row
says the status that the route answers when all goes well; where the answer is another one in the
end, the row is corrected before it is sent. What a token is refused for want of rights (403) is
written before the answer too, as often as a limit allows.

Gradients come by the million. They have one row a token and calibration, the first, and rows of
their own in the catalog.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from sparsegrad_shared.audit import AuditEntry
from sparsegrad_shared.errors import Forbidden
from sparsegrad_shared.references import SEGMENT

from .auth.limits import Limits, Rate
from .auth.principal import EVERY_NAMESPACE, Principal
from .catalog import Catalog, audit
from .context import RequestContext, request

OPERATOR = "command line"
REFUSALS = Rate(per_second=0.5, burst=60)  # rows for each token

_log = logging.getLogger(__name__)


class AuditedCatalog(Catalog):
    """A catalog whose writing transactions within a request leave a row in the audit log."""

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes, and the row that tells of them, are on disk when it ends."""
        current, entry = request(), None
        with super().writing() as session:
            yield session
            if current is not None and current.principal is not None and not current.audit_id:
                entry = _entry_of(current, current.principal, current.success)
                audit.add(session, entry)
        if current is not None and entry is not None:  # and on disk
            current.audit_id, current.audit_status = entry.id, entry.status


class AuditTrail:
    """What is written of a request once its answer is known.

    Args:
        catalog: where to.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._refusals = Limits(REFUSALS)

    def follow(self, current: RequestContext, status: int, clock: float) -> None:
        """Write down a refusal, or, where the row says another status, what was answered.

        Args:
            current: the request.
            status: of its answer.
            clock: seconds of a clock that only goes forward.
        """
        if (principal := current.principal) is None:
            return
        # By the plain way to write: these transactions are the log's own.
        if current.audit_id is not None:
            with Catalog.writing(self._catalog) as session:
                audit.correct(session, current.audit_id, status)
        elif self._refusals.take(principal.token_id, clock).granted:
            with Catalog.writing(self._catalog) as session:
                audit.add(session, _entry_of(current, principal, status))
        else:
            _log.warning("refused, more often than the audit log takes: %s", current.path)


def needs_following(current: RequestContext, status: int) -> bool:
    """Whether the audit log has to be told of a request's answer."""
    if current.audit_id is not None:
        # A row that many requests share says that some of them were let through, no more.
        return current.audit_status != status and not current.repeated
    return current.principal is not None and status == Forbidden.status


def record_command(session: Session, action: str, target: str, namespace: str | None) -> None:
    """Add a row for what the operator did at the command line.

    Args:
        session: of the transaction that does it.
        action: the command, such as `token revoke`.
        target: what it was done to.
        namespace: what it concerns; None for the whole server.
    """
    entry = AuditEntry(
        id=uuid.uuid4().hex,
        at=datetime.now(UTC),
        token_id=None,
        token_name=OPERATOR,
        namespace=namespace,
        action=action,
        target=target,
        status=200,
        request_id="",
    )
    audit.add(session, entry)


def _entry_of(current: RequestContext, principal: Principal, status: int) -> AuditEntry:
    action = f"{current.method} {current.template or '(no route)'}"
    target = current.target or current.path
    return AuditEntry(
        id=_shared_id(principal, action, target) if current.repeated else uuid.uuid4().hex,
        at=datetime.now(UTC),
        token_id=principal.token_id,
        token_name=principal.name,
        namespace=current.namespace or _namespace_of(current, principal),
        action=action,
        target=target,
        status=status,
        request_id=current.id,
    )


def _namespace_of(current: RequestContext, principal: Principal) -> str | None:
    named = current.scope.get("path_params", {}).get("namespace")
    if named is not None and re.fullmatch(SEGMENT, named):
        return str(named)
    return None if principal.namespace == EVERY_NAMESPACE else principal.namespace


def _shared_id(principal: Principal, action: str, target: str) -> str:
    text = "\n".join((principal.token_id, action, target))
    return hashlib.sha256(text.encode()).hexdigest()[:32]

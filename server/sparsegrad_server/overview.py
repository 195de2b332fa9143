"""The server at a glance, for those who look after it. No secret is in it, and no user's name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from .auth.principal import EVERY_NAMESPACE
from .catalog import Catalog, jobs, namespaces
from .catalog.tables import BasisRow, JobRow, NamespaceRow, VersionRow
from .jobs.process import signs_of_life
from .settings import Settings

DISTRIBUTION = "sparsegrad-peft"
NAMESPACES = 50  # at most; those that hold the most


@dataclass(frozen=True)
class Usage:
    """What a namespace holds of the gradients that it may hold, in bytes."""

    namespace: str
    bytes: int
    most: int


@dataclass(frozen=True)
class AtWork:
    """A worker that has a job."""

    worker: str
    phase: str
    leased_until: datetime | None


@dataclass(frozen=True)
class Whole:
    """What concerns the whole server: for tokens of every namespace.

    Attributes:
        data: the data folder.
        disk_free: bytes, on the disk of the data folder.
        disk_total: likewise.
        disk_floor: free bytes below which nothing more is taken.
        catalog: the kind of database, and where it is.
        store: where gradients and bases are.
        executor: where workers compute.
        lives: workers of this machine, by the time of their last sign of life.
        at_work: workers that have a job.
        uploads: that are being received.
        bases: each counted once, however many names it has.
        versions: those that were deleted included.
    """

    data: str
    disk_free: int
    disk_total: int
    disk_floor: int
    catalog: str
    store: str
    executor: str
    lives: tuple[tuple[str, datetime], ...]
    at_work: tuple[AtWork, ...]
    uploads: int
    bases: int
    versions: int


@dataclass(frozen=True)
class Overview:
    """What a token's holder may know of the server.

    Attributes:
        version: of the program.
        jobs: how many there are in each state.
        usage: what namespaces hold.
        limits: settings that clients meet: name, value, what it is.
        whole: what concerns the whole server; None for who sees one namespace.
    """

    version: str
    jobs: dict[str, int]
    usage: tuple[Usage, ...]
    limits: tuple[tuple[str, float, str], ...]
    whole: Whole | None


def overview(
    catalog: Catalog, settings: Settings, namespace: str, uploads: Callable[[], int]
) -> Overview:
    """Look at what a namespace's holder, or, for `*`, an operator may know.

    Args:
        catalog: where to look.
        settings: the server's.
        namespace: what the caller sees.
        uploads: how many are being received.
    """
    with catalog.reading() as session:
        return Overview(
            version=version(DISTRIBUTION),
            jobs=jobs.count_states(session, namespace),
            usage=_usage(session, namespace, settings.max_namespace_bytes),
            limits=_limits(settings),
            whole=_whole(session, settings, uploads()) if namespace == EVERY_NAMESPACE else None,
        )


def _whole(session: Session, settings: Settings, uploads: int) -> Whole:
    disk = shutil.disk_usage(settings.data)
    leased = select(JobRow).where(JobRow.state == "leased").order_by(JobRow.worker)
    return Whole(
        data=str(settings.data),
        disk_free=disk.free,
        disk_total=disk.total,
        disk_floor=settings.min_free_bytes,
        catalog=_database(settings),
        store=settings.storage_url or "folders in the data folder",
        executor=settings.executor,
        lives=tuple(sorted(signs_of_life(settings).items())),
        at_work=tuple(
            AtWork(row.worker or "", row.phase, row.leased_until) for row in session.scalars(leased)
        ),
        uploads=uploads,
        bases=session.scalar(select(func.count()).select_from(BasisRow)) or 0,
        versions=session.scalar(select(func.count()).select_from(VersionRow)) or 0,
    )


def _database(settings: Settings) -> str:
    """The database without the user, the password, and whatever options it was opened with."""
    if settings.catalog_url is None:
        return "SQLite in the data folder"
    url = make_url(settings.catalog_url)
    if url.get_backend_name() == "sqlite":
        return f"SQLite at {url.database}"
    port = "" if url.port is None else f":{url.port}"
    return f"PostgreSQL at {url.host or 'this machine'}{port}/{url.database or ''}"


def _usage(session: Session, namespace: str, most: int) -> tuple[Usage, ...]:
    held = (
        select(NamespaceRow)
        .where(namespaces.visible(NamespaceRow.name, namespace))
        .order_by(NamespaceRow.bytes.desc(), NamespaceRow.name)
        .limit(NAMESPACES)
    )
    return tuple(Usage(row.name, row.bytes, most) for row in session.scalars(held))


def _limits(settings: Settings) -> tuple[tuple[str, float, str], ...]:
    """The limits that clients meet, each with what the settings' page says of it."""
    return tuple(
        (name, getattr(settings, name), str(type(settings).model_fields[name].description))
        for name in (
            "max_gradient_bytes",
            "max_gradients",
            "max_namespace_bytes",
            "max_concurrent_uploads",
            "requests_per_second",
            "request_burst",
            "max_request_bytes",
            "body_seconds",
        )
    )

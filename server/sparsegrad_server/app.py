"""The app: what there is, and how it hangs together. Nothing else."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import CollectorRegistry

from sparsegrad_shared import errors

from . import problems
from .api import (
    aliases,
    audit,
    bases,
    calibrations,
    gradients,
    imports,
    jobs,
    metrics,
    pages,
    probes,
    tokens,
    versions,
)
from .api.dependencies import authenticate
from .api.strangers import KnownFirst
from .audit import AuditedCatalog, AuditTrail
from .auth.gate import Gate
from .auth.limits import Rate
from .catalog import Catalog
from .guard import Guard
from .ingest.admission import Admission
from .ingest.uploads import Uploads
from .jobs.comparing import Comparisons
from .live.calibrations import calibration_looks
from .live.streams import Streams
from .settings import Settings
from .sharing.imports import Imports
from .store.files import Staging, make_folder
from .store.open import open_stores
from .telemetry.inventory import Inventory
from .telemetry.metrics import RequestMetrics
from .telemetry.requests import Observer
from .telemetry.traces import open_provider, request_tracing
from .web import routes as web
from .web import visitors
from .web.live import MOST_STREAMS

# What the layers around every route may answer in its place.
_ANYWHERE = (errors.Forbidden, errors.Overloaded, errors.ServerFault, errors.Unavailable)
_VERSION_1 = (
    errors.TruncatedBody,
    errors.Unauthenticated,
    errors.NotFound,
    errors.BodyTimeout,
    errors.BodyTooLarge,
    errors.QuotaExceeded,
    errors.InvalidInput,
    errors.StorageFull,
)


def create_app(settings: Settings) -> FastAPI:
    """The server over one data folder, which is made when it is not there.

    Raises:
        OSError: when the data folder cannot be written.
    """
    make_folder(settings.data)
    traces = open_provider(settings)
    catalog = AuditedCatalog(settings.catalog_address)
    staging = Staging(settings.staging_folder)
    stores = open_stores(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        catalog.migrate()
        app.state.gate.use.start()
        staging.sweep(timedelta(seconds=settings.body_seconds), datetime.now(UTC))
        yield
        app.state.gate.use.stop()
        if traces is not None:
            traces.shutdown()
        catalog.close()

    app = FastAPI(
        title="SparseGrad",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere; ours are in `web`
        redoc_url=None,
        openapi_url=None,
        telemetry=request_tracing(traces),
        responses=problems.documented(*_ANYWHERE),
    )
    app.state.settings = settings
    app.state.catalog = catalog
    app.state.staging = staging
    app.state.gradients = stores.gradients
    app.state.bases = stores.bases
    app.state.admission = Admission(
        settings.data,
        settings.max_concurrent_uploads,
        settings.min_free_bytes,
        settings.upload_memory_bytes,
    )
    app.state.uploads = Uploads(catalog, stores.gradients, settings)
    app.state.imports = Imports(catalog, stores.bases, settings)
    app.state.comparisons = Comparisons(catalog, stores.bases)
    app.state.calibration_looks = calibration_looks(catalog)
    app.state.streams = Streams(MOST_STREAMS, "live pages are open in this browser")
    app.state.job_streams = Streams(jobs.MOST_STREAMS, "jobs are followed with this token")
    app.state.started = datetime.now(UTC)
    problems.install(app)
    visitors.install(app)
    app.include_router(probes.router, responses=problems.documented(errors.StorageFull))
    app.include_router(pages.router)
    app.include_router(metrics.router, responses=problems.documented(errors.Unauthenticated))
    app.include_router(_version_1())
    app.include_router(web.router)
    _guard(app, settings, catalog)
    return app


def _guard(app: FastAPI, settings: Settings, catalog: Catalog) -> None:
    """What every request passes: the observer, then the guard, then the gate, then its route."""
    registry = CollectorRegistry()
    app.state.registry = registry
    app.state.draining = threading.Event()
    app.state.gate = Gate(
        catalog,
        Rate(settings.requests_per_second, settings.request_burst),
        Rate(settings.failures_per_minute / 60, math.ceil(settings.failures_per_minute)),
    )
    app.add_middleware(KnownFirst, gate=app.state.gate)
    app.add_middleware(
        Guard,
        allowed_hosts=settings.allowed_hosts,
        body_limit=settings.max_request_bytes,
        body_seconds=settings.body_seconds,
    )
    app.add_middleware(Observer, trail=AuditTrail(catalog), metrics=RequestMetrics(registry))
    registry.register(Inventory(catalog, settings.data, app.state.admission.under_way))


def _version_1() -> APIRouter:
    # Whatever a route asks for on top, none is reached without a token.
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(authenticate)],
        responses=problems.documented(*_VERSION_1),
    )
    published = (errors.Conflict, errors.DeletedBasis)
    for part, more in (
        (calibrations, (errors.Conflict,)),
        (gradients, (errors.Conflict,)),
        (jobs, ()),
        # Before `bases`: a name may be `diff`.
        (aliases, (*published, errors.PreconditionFailed, errors.PreconditionRequired)),
        (bases, published),
        (versions, published),
        (imports, published),
        (tokens, ()),
        (audit, ()),
    ):
        router.include_router(part.router, responses=problems.documented(*more))
    return router

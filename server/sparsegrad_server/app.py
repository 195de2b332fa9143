"""The app: what there is, and how it hangs together. Nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, FastAPI

from . import problems
from .api import aliases, bases, calibrations, gradients, jobs, probes
from .api.dependencies import authenticate
from .catalog import Catalog
from .guard import Guard
from .ingest.admission import Admission
from .ingest.uploads import Uploads
from .settings import Settings
from .store.files import Staging, make_folder
from .store.local_bases import LocalBasisStore
from .store.local_gradients import LocalGradientStore


def create_app(settings: Settings) -> FastAPI:
    """The server over one data folder, which is made when it is not there.

    Raises:
        OSError: when the data folder cannot be written.
    """
    make_folder(settings.data)
    catalog = Catalog(settings.catalog_address)
    staging = Staging(settings.staging_folder)
    store = LocalGradientStore(settings.gradients_folder, staging)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        catalog.migrate()
        staging.sweep(timedelta(seconds=settings.body_seconds), datetime.now(UTC))
        yield
        catalog.close()

    app = FastAPI(title="SparseGrad", version="1", lifespan=lifespan, redoc_url=None)
    app.state.settings = settings
    app.state.catalog = catalog
    app.state.staging = staging
    app.state.gradients = store
    app.state.bases = LocalBasisStore(settings.bases_folder, settings.partial_folder)
    app.state.admission = Admission(
        settings.data, settings.max_concurrent_uploads, settings.min_free_bytes
    )
    app.state.uploads = Uploads(catalog, store, settings)
    app.add_middleware(
        Guard,
        allowed_hosts=settings.allowed_hosts,
        body_limit=settings.max_request_bytes,
        body_seconds=settings.body_seconds,
    )
    problems.install(app)
    app.include_router(probes.router)
    app.include_router(_version_1())
    return app


def _version_1() -> APIRouter:
    # Whatever a route asks for on top, none is reached without a token.
    router = APIRouter(prefix="/v1", dependencies=[Depends(authenticate)])
    for part in (calibrations, gradients, jobs, bases, aliases):
        router.include_router(part.router)
    return router

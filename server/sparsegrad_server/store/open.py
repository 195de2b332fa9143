"""Which stores there are: local folders, or object storage, by the settings alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from ..settings import Settings
from .bases import BasisStore
from .cache import FileCache
from .files import Staging
from .gradients import GradientStore
from .local_bases import LocalBasisStore
from .local_gradients import LocalGradientStore
from .object_bases import ObjectBasisStore
from .object_gradients import ObjectGradientStore
from .objects import CONNECT, RETRIES, RETRY_FOR, SILENCE, WHOLE, Objects

if TYPE_CHECKING:
    from obstore.store import S3Config


@dataclass(frozen=True)
class Stores:
    """Where gradients and bases are kept."""

    gradients: GradientStore
    bases: BasisStore


def open_stores(settings: Settings) -> Stores:
    """The stores that the settings name.

    Raises:
        OSError: when the data folder cannot be written, or the bucket not be listed.
    """
    if settings.storage_url is None:
        staging = Staging(settings.staging_folder)
        return Stores(
            LocalGradientStore(settings.gradients_folder, staging),
            LocalBasisStore(settings.bases_folder, settings.partial_folder),
        )
    gradients, bases = (_objects(settings, part) for part in ("gradients", "bases"))
    next(bases.folders(), None)  # a wrong key or bucket is told at the start, not at first use
    cache = FileCache(settings.cache_folder, settings.storage_cache_bytes)
    return Stores(
        ObjectGradientStore(gradients), ObjectBasisStore(bases, cache, settings.partial_folder)
    )


def _objects(settings: Settings, part: str) -> Objects:
    place = urlsplit(settings.storage_url or "")
    prefix = "/".join(name for name in (place.path.strip("/"), part) if name)
    config: S3Config = {}
    if settings.storage_endpoint is not None:
        config["endpoint"] = settings.storage_endpoint
    if settings.storage_region is not None:
        config["region"] = settings.storage_region
    if settings.storage_access_key is not None and settings.storage_secret_key is not None:
        config["access_key_id"] = settings.storage_access_key
        config["secret_access_key"] = settings.storage_secret_key.get_secret_value()
    store = S3Store(
        place.netloc,
        prefix=prefix,
        config=config,
        client_options={
            "allow_http": (settings.storage_endpoint or "").startswith("http://"),
            "connect_timeout": CONNECT,
            "read_timeout": SILENCE,
            "timeout": WHOLE,
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
    )
    return Objects(store)

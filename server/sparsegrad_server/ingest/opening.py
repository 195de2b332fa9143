"""Whether a calibration could ever be held, before the first gradient is sent."""

from __future__ import annotations

from datetime import timedelta

from sparsegrad_shared.calibrations import CalibrationManifest, Estimate, GroupSpec
from sparsegrad_shared.errors import BodyTooLarge, InvalidInput, QuotaExceeded
from sparsegrad_shared.framing import ITEM_SIZES

from ..settings import Settings
from .admission import check_disk

_RESERVED = "zarr.json"  # Zarr's own file in every group's folder


def check_room(manifest: CalibrationManifest, estimate: Estimate, settings: Settings) -> None:
    """Hold a calibration to what the server takes.

    Sizes are the least that the gradients can have, since they may be sent factored.

    Raises:
        InvalidInput: too many slots, or a group whose name is reserved.
        BodyTooLarge: a group whose smallest gradient is over the limit.
        QuotaExceeded: the gradients would not fit in the namespace.
        StorageFull: neither they, nor what is computed from them, would fit on the disk.
    """
    slots = sum(group.slots for group in manifest.groups)
    if slots > settings.max_gradients:
        raise InvalidInput(
            f"expected at most {settings.max_gradients} slots in a calibration; the groups have "
            f"{slots}: take fewer steps, or send sums"
        )
    for group in manifest.groups:
        if group.name == _RESERVED:
            raise InvalidInput(f"a group cannot be named {_RESERVED}: choose another name")
        if (least := _least_bytes(group)) > settings.max_gradient_bytes:
            raise BodyTooLarge(
                f"group {group.name}: a gradient has at least {least} bytes; this server takes "
                f"{settings.max_gradient_bytes}"
            )
    needed = sum(_least_bytes(group) * group.slots for group in manifest.groups)
    dense = sum(_dense_bytes(group) * group.slots for group in manifest.groups)
    if needed > settings.max_namespace_bytes:
        raise QuotaExceeded(
            f"the gradients have at least {needed} bytes; a namespace may hold "
            f"{settings.max_namespace_bytes}"
        )
    computed = estimate.disk_bytes - dense  # partial sums and the basis
    gradients_here = needed if settings.storage_url is None else 0
    check_disk(settings.data, gradients_here + computed, settings.min_free_bytes)


def time_to_live(manifest: CalibrationManifest, settings: Settings) -> timedelta | None:
    """How long a calibration's gradients are kept; for ever when None.

    Raises:
        InvalidInput: when the client asks for longer than the server keeps any.
    """
    longest = settings.max_calibration_days
    if manifest.ttl_seconds is None:
        days = settings.calibration_days if settings.calibration_days is not None else longest
        return None if days is None else timedelta(days=days)
    asked = timedelta(seconds=manifest.ttl_seconds)
    if longest is not None and asked > timedelta(days=longest):
        raise InvalidInput(
            f"ttl_seconds: this server keeps gradients for {longest:g} days at most; "
            f"{manifest.ttl_seconds:g} seconds were asked for"
        )
    return asked


def _least_bytes(group: GroupSpec) -> int:
    """A gradient of one token, factored; or, where that is smaller still, dense."""
    factored = (group.d_out + group.d_in) * ITEM_SIZES[group.dtype]
    return min(factored, _dense_bytes(group))


def _dense_bytes(group: GroupSpec) -> int:
    return group.d_out * group.d_in * ITEM_SIZES[group.dtype]

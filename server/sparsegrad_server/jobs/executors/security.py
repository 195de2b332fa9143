"""The certificates that a process shows to a Dask cluster; without Dask itself."""

from __future__ import annotations

from typing import NamedTuple

from sparsegrad_shared.errors import InvalidInput

from ...settings import Settings


class Certificates(NamedTuple):
    """Paths of PEM files."""

    authority: str
    certificate: str
    key: str


def certificates(settings: Settings) -> Certificates:
    """What the settings name.

    Raises:
        InvalidInput: when one is not named, or is not there.
    """
    return Certificates(*(_file(settings, f"dask_{name}") for name in Certificates._fields))


def _file(settings: Settings, name: str) -> str:
    path = getattr(settings, name)
    if path is None or not path.is_file():
        came = "none" if path is None else f"{path}, where there is no file"
        raise InvalidInput(
            f"{name}: expected a PEM file, got {came}; set SPARSEGRAD_{name.upper()}"
        )
    return str(path)

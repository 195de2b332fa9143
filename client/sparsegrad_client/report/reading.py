"""A basis's report, from the cache or from the server."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import ValidationError

from sparsegrad_shared.bases import REPORT_FILE, BasisVersion
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.report import BasisReport

from ..cache import BasisCache
from ..home import bases_folder
from ..service import BasisService


def cached_report(digest: str) -> BasisReport:
    """The report of a basis that was fetched.

    Raises:
        CorruptFile: when it is not what was once written.
    """
    return _read(BasisCache(bases_folder()).file(digest, REPORT_FILE))


def download_report(service: BasisService, version: BasisVersion) -> BasisReport:
    """The report alone, without the basis's tensors.

    Raises:
        CorruptFile: when the bytes that came are not those of the report.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / REPORT_FILE
        service.download_file(version, version.manifest.report, path)
        return _read(path)


def _read(path: Path) -> BasisReport:
    try:
        return BasisReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptFile(f"{path}: not a report of format 1: {error}") from None

"""Style sheets, scripts, the icon: what pages load, from this server alone.

Everything is read once, when the server starts: a name that was not in the folder then does not
exist, and nothing that a request says is ever a path. The address holds a fingerprint of all of
it, so that a browser may keep a file for ever, and a script finds those beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from sparsegrad_shared.errors import NotFound

FOLDER = Path(__file__).parent / "static"
VENDOR = "vendor"  # what others have written
_MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


@dataclass(frozen=True)
class Asset:
    """A file that pages load."""

    content: bytes
    media_type: str


def _read(folder: Path) -> dict[str, Asset]:
    """Every file of a folder and its subfolders, by its path within."""
    return {
        path.relative_to(folder).as_posix(): Asset(path.read_bytes(), _MEDIA[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in _MEDIA
    }


def _fingerprint(assets: Mapping[str, Asset]) -> str:
    digest = hashlib.sha256()
    for name, asset in assets.items():
        digest.update(f"{name}\n{len(asset.content)}\n".encode())
        digest.update(asset.content)
    return digest.hexdigest()[:16]


ASSETS: Mapping[str, Asset] = _read(FOLDER)
FINGERPRINT = _fingerprint(ASSETS)

router = APIRouter(prefix="/static/{fingerprint}", include_in_schema=False)


def address(name: str) -> str:
    """Where a browser finds a file.

    Raises:
        KeyError: when there is none of that name.
    """
    if name not in ASSETS:
        raise KeyError(f"no file {name!r} in {FOLDER}")
    return f"/static/{FINGERPRINT}/{name}"


@router.get("/{file}")
async def get_asset(fingerprint: str, file: str, request: Request) -> Response:
    """A file of ours."""
    return _answer(fingerprint, file, request)


@router.get(f"/{VENDOR}/{{file}}")
async def get_vendored(fingerprint: str, file: str, request: Request) -> Response:
    """A file that others have written."""
    return _answer(fingerprint, f"{VENDOR}/{file}", request)


def _answer(fingerprint: str, name: str, request: Request) -> Response:
    asset = ASSETS.get(name)
    if asset is None:
        raise NotFound(f"there is no {request.url.path}")
    # A page of another release gets this one's file, but does not keep it.
    same = fingerprint == FINGERPRINT
    keep = "public, max-age=31536000, immutable" if same else "no-store"
    return Response(asset.content, headers={"Cache-Control": keep}, media_type=asset.media_type)

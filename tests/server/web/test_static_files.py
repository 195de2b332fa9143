"""Style sheets and scripts: ours, and those of others as they were published."""

from __future__ import annotations

import hashlib
import json
import re

import httpx
import pytest
from support.service import Service

from sparsegrad_server.web.static_files import ASSETS, FINGERPRINT, FOLDER, VENDOR, address

VENDORED = FOLDER / VENDOR / "vendored.json"
# What a browser would ask another host for, or run from text.
ELSEWHERE = re.compile(rb"https?://(?!www\.w3\.org/)|sourceMappingURL")


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(f"{service.url}{path}", timeout=60)


def test_what_others_wrote_is_byte_for_byte_what_they_published() -> None:
    packages = json.loads(VENDORED.read_text())
    listed = {file: digest for package in packages for file, digest in package["files"].items()}
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (FOLDER / VENDOR).iterdir()
        if path != VENDORED
    }
    assert there == listed
    for package in packages:
        assert package["version"]
        assert package["licence"]
        assert any(name.endswith("LICENSE.txt") for name in package["files"])


def test_nothing_of_ours_names_another_host() -> None:
    ours = {name: asset for name, asset in ASSETS.items() if not name.startswith(VENDOR)}
    assert {name: ELSEWHERE.findall(asset.content) for name, asset in ours.items()} == {
        name: [] for name in ours
    }


def test_every_file_is_served_without_a_session_and_may_be_kept(service: Service) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for name, asset in ASSETS.items():
        answer = get(service, address(name))
        assert answer.status_code == 200, name
        assert answer.content == asset.content
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        suffix = f".{name.rsplit('.', 1)[1]}"
        assert answer.headers["content-type"].startswith(kinds.get(suffix, ""))


def test_another_release_s_page_gets_the_file_but_does_not_keep_it(service: Service) -> None:
    answer = get(service, "/static/0123456789abcdef/style.css")
    assert answer.content == ASSETS["style.css"].content
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.css",
        "vendor",
        "..%2f__init__.py",
        "..%2frouting.py",
        "%2e%2e%2fsign_in.py",
        "vendor/..%2f..%2f__init__.py",
        "..%5c..%5cwords.py",
        "%2fetc%2fpasswd",
        "style.css%00.js",
    ],
)
def test_a_name_that_is_not_in_the_folder_is_not_there(service: Service, name: str) -> None:
    answer = get(service, f"/static/{FINGERPRINT}/{name}")
    assert answer.status_code == 404
    assert b"import" not in answer.content
    assert b"root:" not in answer.content


def test_a_file_that_is_not_there_cannot_be_named_in_a_template() -> None:
    with pytest.raises(KeyError, match="no file 'nothing.js'"):
        address("nothing.js")

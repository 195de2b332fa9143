"""The site builds without a warning, hangs together, and asks no other host for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
from support.command_lines import commands
from support.pages import DOCS

pytest.importorskip("sphinx", reason="the group `docs` is not installed")

from sparsegrad_shared.errors import error_classes
from sparsegrad_shared.report import BasisReport

# What a browser fetches by itself.
_FETCHED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Document(HTMLParser):
    """What a page of the site refers to, and what may be referred to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in _FETCHED and _FETCHED[tag] in found:
            self.fetched.append(found[_FETCHED[tag]])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, but for the notebook, which has a test of its own.

    A site that is built already, as in CI, is named by `TESTS_SITE`.
    """
    if "TESTS_SITE" in os.environ:
        return Path(os.environ["TESTS_SITE"]).resolve(strict=True)
    folder = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--define", "nb_execution_mode=off"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def documents(site: Path) -> Mapping[Path, Document]:
    return {path: Document(path) for path in site.rglob("*.html")}


def _within(link: str, page: Path) -> tuple[Path, str] | None:
    """The file and the anchor that a link leads to; None where it leads out of the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return target, unquote(parts.fragment)


def test_every_link_leads_to_a_page_and_an_anchor(documents: Mapping[Path, Document]) -> None:
    looked_at = 0
    for page, document in documents.items():
        for link in document.links:
            found = _within(link, page)
            if found is None:
                continue
            target, anchor = found
            looked_at += 1
            assert target.is_file(), f"{page.name}: {link}"
            if anchor and target in documents:
                assert anchor in documents[target].anchors, f"{page.name}: {link}"
    assert looked_at > 500


def test_nothing_is_fetched_from_another_host(
    site: Path, documents: Mapping[Path, Document]
) -> None:
    for page, document in documents.items():
        for address in document.fetched:
            assert not urlsplit(address).netloc, f"{page.name} fetches {address}"
            assert urlsplit(address).scheme in ("", "data"), f"{page.name} fetches {address}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        outside = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", text)
        assert outside == [], f"{sheet.name} fetches {outside}"


def test_every_page_but_the_first_is_in_the_contents(documents: Mapping[Path, Document]) -> None:
    index = next(document for path, document in documents.items() if path.name == "index.html")
    reached = {found[0] for link in index.links if (found := _within(link, index.path))}
    sources = [*DOCS.glob("*.md"), *DOCS.glob("notebooks/*.ipynb")]
    for source in sources:
        page = index.path.parent / source.relative_to(DOCS).with_suffix(".html")
        assert page in reached, source


def _text(documents: Mapping[Path, Document], name: str) -> str:
    return next(document.text for path, document in documents.items() if path.name == name)


def test_every_command_and_option_is_described(documents: Mapping[Path, Document]) -> None:
    page = next(document for path, document in documents.items() if path.name == "commands.html")
    described = 0
    for called, command in commands().items():
        if command.hidden:
            continue
        assert called.replace(" ", "-") in page.anchors, called
        for parameter in command.params:
            if not parameter.hidden:
                shown = parameter.metavar if parameter.param_type_name == "argument" else None
                assert (shown or parameter.opts[0]) in page.text, (called, parameter.opts)
                described += 1
    assert described > 100


def test_every_error_is_described(documents: Mapping[Path, Document]) -> None:
    page = next(document for path, document in documents.items() if path.name == "errors.html")
    for uri in error_classes():
        assert uri in page.text
        assert uri.rpartition(":")[2] in page.anchors


def test_every_route_is_described(documents: Mapping[Path, Document], tmp_path: Path) -> None:
    from sparsegrad_server.app import create_app
    from sparsegrad_server.settings import Settings

    text = _text(documents, "http.html")
    for path, methods in create_app(Settings(data=tmp_path)).openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text


def test_every_public_name_is_described_once(documents: Mapping[Path, Document]) -> None:
    import sparsegrad_client

    page = next(document for path, document in documents.items() if path.name == "python.html")
    for name in sparsegrad_client.__all__:
        assert f"sparsegrad_client.{name}" in page.anchors, name


def _drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "figures" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_those_that_the_client_draws_of_the_report() -> None:
    """In kind: the same files of the same size with the same parts; not the same bytes."""
    from sparsegrad_client.report.figures import svg

    draw = _drawing()
    drawn = draw.figures(BasisReport.model_validate_json(draw.REPORT.read_bytes()))
    kept = {path.stem: path.read_text(encoding="utf-8") for path in draw.HERE.glob("*.svg")}
    assert drawn.keys() == kept.keys()
    for name, figure in drawn.items():
        new = svg(figure)
        for part in (r'viewBox="[^"]+"', r'id="(?:axes|patch|line2d|text)_\d+"'):
            assert re.findall(part, new) == re.findall(part, kept[name]), name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<!-- generated: nothing -->", "expected one of"),
        ("<!-- generated: commands sparsegrad-clint -->", "sparsegrad-clint"),
        ("<!-- generated: python sparsegrad_client nobody -->", "nobody"),
    ],
)
def test_a_marker_of_what_there_is_not_stops_the_build_by_name(
    text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "index.md").write_text(f"# A page\n\n{text}\n")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-c", DOCS, "-q", tmp_path, tmp_path / "out"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert built.returncode != 0
    assert complaint in built.stderr
    assert "index" in built.stderr

"""A report as a folder: all of it or nothing, and nothing of others lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from support.html_pages import drawings, parsed

from sparsegrad_client.report import gallery
from sparsegrad_client.report.page import Picture, Report, Section
from sparsegrad_shared.errors import InvalidInput


def figure() -> Figure:
    return Figure(figsize=(1, 1))


def failing() -> Figure:
    raise MemoryError("no room for a picture")


def report(*pictures: str, last: Picture | None = None) -> Report:
    parts = [Picture(name, f"about {name}", figure) for name in pictures]
    return Report("Title", {}, [Section("Part", [*parts, *([last] if last else [])])])


def names(folder: Path) -> set[str]:
    return {part.name for part in folder.iterdir()}


def test_a_folder_has_the_page_and_each_picture(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    page = gallery.write(
        report("one", "two"), tmp_path / "new" / "report", progress=lambda *now: told.append(now)
    )
    assert page == tmp_path / "new" / "report" / "index.html"
    assert names(page.parent) == {"index.html", "one.png", "two.png"}
    assert len(drawings(parsed(page.read_text(encoding="utf-8")))) == 2
    assert (page.parent / "one.png").read_bytes().startswith(b"\x89PNG")
    assert told == [("drawing", 0, 2), ("drawing", 1, 2), ("drawing", 2, 2)]


def test_a_folder_that_is_empty_is_taken(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    gallery.write(report("one"), tmp_path / "report")
    assert names(tmp_path / "report") == {"index.html", "one.png"}


def test_a_folder_with_something_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all I have")
    with pytest.raises(InvalidInput, match="found thesis.txt; choose another folder"):
        gallery.write(report(last=Picture("bad", "", failing)), tmp_path)
    assert names(tmp_path) == {"thesis.txt"}


def test_an_earlier_report_is_replaced_where_that_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    gallery.write(report("one"), folder)
    with pytest.raises(InvalidInput, match="found index.html, one.png"):
        gallery.write(report("two"), folder)
    gallery.write(report("two"), folder, replacing={"index.html", "one.png"})
    assert names(folder) == {"index.html", "two.png"}
    assert names(tmp_path) == {"report"}


def test_a_picture_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    with pytest.raises(MemoryError):
        gallery.write(report("one", last=Picture("bad", "", failing)), folder)
    assert names(tmp_path) == set()
    gallery.write(report("one"), folder)
    with pytest.raises(MemoryError):
        gallery.write(
            report("two", last=Picture("bad", "", failing)),
            folder,
            replacing={"index.html", "one.png"},
        )
    assert names(folder) == {"index.html", "one.png"}
    assert names(tmp_path) == {"report"}

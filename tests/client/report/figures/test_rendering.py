"""Bytes of figures: the same each time, of one width, and asking for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from support.pictures import pixels
from support.reports import group_report

from sparsegrad_client.report.figures import energy_map, png, spectra, style, svg

GROUP = group_report()
LINK = "{http://www.w3.org/1999/xlink}href"


def drawings() -> list[str]:
    assert GROUP.sample is not None
    return [svg(spectra(GROUP)), svg(energy_map(GROUP.sample, GROUP.density))]


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert png(spectra(GROUP)) == png(spectra(GROUP))
    assert drawings() == drawings()


def test_a_picture_is_1200_pixels_wide_on_white() -> None:
    image = pixels(spectra(GROUP))
    assert image.shape[1] == 1200
    assert (image[0] == 1).all()


@pytest.mark.parametrize("drawing", drawings(), ids=["lines", "map"])
def test_a_drawing_asks_for_nothing_outside_itself(drawing: str) -> None:
    root = ET.fromstring(drawing)  # noqa: S314 - our own
    names = {element.get("id") for element in root.iter()}
    for element in root.iter():
        link = element.get(LINK) or element.get("href")
        if link is not None:
            assert link.startswith("data:image/png") or link.removeprefix("#") in names
    assert all(inner.startswith("#") for inner in re.findall(r"url\(([^)]*)\)", drawing))
    assert "@import" not in drawing
    assert "<script" not in drawing


@pytest.mark.parametrize("drawing", drawings(), ids=["lines", "map"])
def test_words_and_lines_of_a_drawing_follow_the_page(drawing: str) -> None:
    sheet = drawing[drawing.index("<style>") : drawing.index("</style>")]
    assert "prefers-color-scheme:dark" in sheet
    for color in (style.INK, style.MUTED, style.LINES):
        assert sheet.count(color) == drawing.count(color) == 1
    for name in ("ink", "muted", "lines"):
        assert f"var(--{name})" in drawing


def test_drawing_needs_no_display_and_no_state_of_pyplot() -> None:
    program = """
import sys
sys.modules["matplotlib.pyplot"] = None
from support.reports import group_report
from sparsegrad_client.report.figures import png, spectra, svg
figure = spectra(group_report())
assert png(figure) and svg(figure)
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

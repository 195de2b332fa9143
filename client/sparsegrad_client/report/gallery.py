"""A report as a folder: ``index.html`` with all its pictures in it, and each of them as a PNG.

The folder appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from ..folders import check_replaceable, new_folder
from .page import Picture, Report, page

PAGE_FILE = "index.html"

Progress = Callable[[str, int, int], None]


def write(
    report: Report,
    folder: Path,
    *,
    replacing: Collection[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Draw and write a report.

    Args:
        report: what it says.
        folder: a new or empty folder.
        replacing: names of files of an earlier report that may stand there.
        progress: told (phase, pictures drawn, in all).

    Returns:
        The page.

    Raises:
        InvalidInput: when `folder` holds something else.
        OSError: when the disk refuses.
    """
    from .figures.rendering import png, svg

    check_replaceable(folder, replacing)
    count, drawn = len(report.pictures), 0
    with new_folder(folder, replacing=replacing) as aside:

        def draw(picture: Picture) -> str:
            nonlocal drawn
            if progress is not None:
                progress("drawing", drawn, count)
            figure = picture.draw()
            (aside / f"{picture.name}.png").write_bytes(png(figure))
            drawn += 1
            return svg(figure)

        lines = "".join(f"{line}\n" for line in page(report, draw))
        (aside / PAGE_FILE).write_text(lines, encoding="utf-8")
    if progress is not None:
        progress("drawing", drawn, count)
    return folder / PAGE_FILE

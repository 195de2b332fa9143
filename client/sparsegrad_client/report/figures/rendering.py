"""Figures as bytes: PNG for files, SVG for pages that may be light or dark."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.figure import Figure

from . import style

# By the name that the picture's style sheet has for it: on a light page, on a dark one.
_COLORS = {
    "ink": (style.INK, "#e6edf3"),
    "muted": (style.MUTED, "#9198a1"),
    "lines": (style.LINES, "#3d444d"),
    "after": (style.AFTER, "#56b4e9"),
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def png(figure: Figure) -> bytes:
    """A PNG on white, 1200 pixels wide; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(
        file, format="png", dpi=style.DPI, facecolor="white", metadata={"Software": None}
    )
    return file.getvalue()


def svg(figure: Figure) -> str:
    """An SVG without a background, whose text and lines follow the page: light or dark.

    It asks for nothing else: letters are outlines, and a map is a picture inside it.
    """
    file = io.StringIO()
    # Names of parts come from a hash with this salt: the same figure gives the same text.
    with mpl.rc_context({"svg.hashsalt": "sparsegrad"}):
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    drawing = file.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for name, (light, _) in _COLORS.items():
        drawing = drawing.replace(light, f"var(--{name})")
    opening = drawing.index(">") + 1
    return f"{drawing[:opening]}\n <style>{_style_sheet()}</style>{drawing[opening:]}"


def _style_sheet() -> str:
    light, dark = (
        "".join(f"--{name}:{colors[place]};" for name, colors in _COLORS.items())
        for place in (0, 1)
    )
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"

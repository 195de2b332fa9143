"""How pictures look: one width, one set of colours, titles on the left, few lines.

Series have the colours of Okabe and Ito (2008), which the colour-blind tell apart; maps have
viridis, which rises evenly in lightness. Colours of text and lines are names as much as colours:
`rendering.svg` puts others in their place on a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import takewhile
from string import ascii_letters, digits
from typing import ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

WIDTH = 10.0  # inches
DPI = 120  # so a picture is 1200 pixels wide

INK = "#1f2328"  # titles and labels
MUTED = "#59636e"  # numbers on axes, remarks
LINES = "#d1d9e0"  # axes and grid
BEFORE = "#818b98"  # the original space
AFTER = "#0072b2"  # the basis
SERIES = (AFTER, "#d55e00", "#009e73", "#cc79a7", "#e69f00", INK)
MAP = "viridis"

STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": LINES,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "xtick.color": LINES,
    "ytick.color": LINES,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
}

_Given = ParamSpec("_Given")
_Figure = TypeVar("_Figure", Figure, Figure | None)
LONG, SHORT = 28, 14  # letters of a name that are shown
_WORD = ascii_letters + digits  # what a word in a name has
_LINE_HEIGHT = 0.16  # inches, of a label


def styled(draw: Callable[_Given, _Figure]) -> Callable[_Given, _Figure]:
    """Have a function draw in this style, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> _Figure:
        with mpl.rc_context(STYLE):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float) -> Figure:
    """An empty figure of the one width, and so many inches high."""
    return Figure(figsize=(WIDTH, height), dpi=DPI)


def titled(axes: Axes, title: str, remark: str = "") -> None:
    """A title, and below it a remark, both flush left above the axes."""
    axes.set_title(title, pad=24 if remark else 8)
    if remark:
        axes.annotate(
            remark, (0, 1), xytext=(0, 8), xycoords="axes fraction", textcoords="offset points",
            color=MUTED,
        )  # fmt: skip


def in_percent(axis: Axis) -> None:
    """Show the numbers of an axis, shares, as percentages."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.10g}%"))


def count(*axes: Axis) -> None:
    """Have axes, which count things, say whole numbers."""
    for axis in axes:
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        axis.set_major_formatter("{x:,.0f}")


def from_zero(axes: Axes) -> None:
    """Have the vertical axis begin at zero, and end a little above the data."""
    axes.set_ylim(0, 1.05 * axes.dataLim.ymax if axes.dataLim.ymax > 0 else 1)


def shown(name: str, letters: int = SHORT) -> str:
    """A name as text in a picture: not taken for mathematics, and cut in its middle when long."""
    if len(name) > letters:
        half = (letters - 1) // 2
        name = f"{name[: letters - 1 - half]}…{name[-half:]}"
    return name.replace("$", r"\$")


def shown_apart(names: Sequence[str], letters: int = SHORT) -> list[str]:
    """Names side by side: where one is too long, all lose the words that they begin with alike."""
    if len(names) > 1 and max(map(len, names)) > letters:
        alike = takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False))
        start = "".join(found[0] for found in alike).rstrip(_WORD)
        names = [f"…{name[len(start) :]}" if len(start) > 1 else name for name in names]
    return [shown(name, letters) for name in names]


def label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, outside the axes, no name above another.

    Args:
        axes: with all its lines, and its limits settled.
        ends: for each line the value that it ends at, its name, and its colour.
    """
    apart = line_height(axes)
    to_axes = axes.transData + axes.transAxes.inverted()
    middle = sum(axes.get_xlim()) / 2
    wanted = sorted(
        (float(to_axes.transform((max(middle, 1e-300), value))[1]), text, color)
        for value, text, color in ends
    )
    for (_, text, color), place in zip(
        wanted, spread([y for y, _, _ in wanted], apart), strict=True
    ):
        axes.annotate(
            text, (1, place), xytext=(6, 0), xycoords="axes fraction", textcoords="offset points",
            color=color, va="center", annotation_clip=False,
        )  # fmt: skip


def line_height(axes: Axes) -> float:
    """How high a label is, as a share of the axes' height."""
    return _LINE_HEIGHT * axes.figure.dpi / axes.get_window_extent().height


def spread(places: list[float], apart: float) -> list[float]:
    """Rising places from 0 to 1, moved as little as it takes for all to lie so far apart.

    Places that come too near one another become a block around their mean, or at an end.
    """
    blocks: list[list[float]] = []  # of places, each block laid out around its mean
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _end(blocks[-2], apart) + apart > _start(blocks[-1], apart):
            last = blocks.pop()
            blocks[-1].extend(last)
    return [
        _start(block, apart) + apart * number for block in blocks for number in range(len(block))
    ]


def _start(block: list[float], apart: float) -> float:
    extent = apart * (len(block) - 1)
    return max(min(sum(block) / len(block) - extent / 2, 1 - extent), 0)


def _end(block: list[float], apart: float) -> float:
    return _start(block, apart) + apart * (len(block) - 1)

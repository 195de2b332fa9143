"""Looking at figures: their pixels, and where their words stand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from numpy.typing import NDArray

from sparsegrad_client.report.figures import png

Pixels = NDArray[np.floating]
_TOUCHING = 1.0  # pixels that boxes around words may share


def pixels(figure: Figure) -> Pixels:
    """The picture as rows × columns × (red, green, blue), each from 0 to 1."""
    image: Pixels = imread(io.BytesIO(png(figure)), format="png")
    return image[:, :, :3]


def pixels_of(figure: Figure, axes: Axes) -> Pixels:
    """The part of the picture inside the axes."""
    image = pixels(figure)
    box = axes.get_position()
    height, width = image.shape[:2]
    rows = slice(round((1 - box.y1) * height), round((1 - box.y0) * height))
    return image[rows, round(box.x0 * width) : round(box.x1 * width)]


def lightness(part: Pixels) -> float:
    """Mean lightness; viridis rises in it."""
    return float((part @ [0.2126, 0.7152, 0.0722]).mean())


def assert_words_can_be_read(figure: Figure) -> None:
    """Nothing is cut off at the edge of the picture, and no words stand on others."""
    image = pixels(figure)
    border = [image[:2], image[-2:], image[:, :2], image[:, -2:]]
    assert all((part == 1).all() for part in border), "something reaches the edge of the picture"
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    words = [(text.get_text(), text.get_window_extent(renderer)) for text in _texts(figure)]
    for (one, box), (other, beside) in combinations(words, 2):
        width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert width <= _TOUCHING or height <= _TOUCHING, f"{one!r} and {other!r} overlap"


def _texts(figure: Figure) -> Iterator[Text]:
    """The words that are drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            yield from _said(tick.label1 for tick in ticks if low <= tick.get_loc() <= high)
            yield from _said([axis.label])
        yield from _said([axes.title, axes._left_title, *axes.texts])  # type: ignore[attr-defined]


def _said(texts: object) -> Iterator[Text]:
    return (text for text in texts if text.get_visible() and text.get_text().strip())  # type: ignore[attr-defined]

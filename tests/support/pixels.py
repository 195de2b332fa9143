"""What is drawn on a page, pixel by pixel."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page

# A picture is drawn within a frame of its element's coming; in the second, it is there.
_TWO_FRAMES = """async () => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
}"""
_READ = """(canvas) => {
  // A copy is read: a browser complains of a canvas that is read again and again.
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let at = 0; at < data.length; at += 32768) {
    text += String.fromCharCode(...data.subarray(at, at + 32768));
  }
  return [canvas.width, canvas.height, btoa(text)];
}"""
_COLOUR = """(name) => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  context.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
_NEAR = 24  # of 255, by which an edge's pixel may differ in each channel


@dataclass(frozen=True, eq=False)
class Drawing:
    """A canvas's pixels.

    Attributes:
        rgba: (height, width, 4) of uint8.
    """

    rgba: NDArray[np.uint8]

    @property
    def colours(self) -> int:
        """How many colours there are, what is bare not among them."""
        painted = self.rgba[self.rgba[..., 3] > 0]
        return len(np.unique(painted, axis=0))

    def share_of_width(self, colour: tuple[int, int, int]) -> float:
        """The share of the canvas's columns in which a colour is."""
        return float(self._near(colour).any(axis=0).mean())

    def share_of_height(self, colour: tuple[int, int, int]) -> float:
        """The share of the canvas's rows in which a colour is."""
        return float(self._near(colour).any(axis=1).mean())

    def share_unlike(self, other: Drawing) -> float:
        """The share of pixels that differ from those of another drawing of the same size."""
        return float((self.rgba != other.rgba).any(axis=2).mean())

    def _near(self, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
        apart = np.abs(self.rgba[..., :3].astype(int) - np.array(colour))
        near: NDArray[np.bool_] = (apart <= _NEAR).all(axis=2) & (self.rgba[..., 3] > 128)
        return near


def settle(page: Page) -> None:
    """Wait until what has come to a page is drawn."""
    page.evaluate(_TWO_FRAMES)


def painted(element: Locator) -> Drawing:
    """An element as it looks."""
    image = Image.open(BytesIO(element.screenshot(animations="disabled"))).convert("RGBA")
    return Drawing(np.asarray(image))


def drawing(canvas: Locator) -> Drawing:
    """What is drawn on a canvas."""
    settle(canvas.page)
    width, height, text = canvas.evaluate(_READ)
    flat = np.frombuffer(base64.b64decode(text), np.uint8)
    return Drawing(flat.reshape(height, width, 4))


def colour(page: Page, name: str) -> tuple[int, int, int]:
    """A colour of the style sheet as it is in the page's theme."""
    red, green, blue = page.evaluate(_COLOUR, name)
    return red, green, blue

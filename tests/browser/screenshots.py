"""Pictures of every page for the docs: ``make screenshots``.

Each page in light, in dark, and on a phone, as small PNG files in ``docs/screenshots``. The
letters are those of Inter where it is installed (Debian: ``fonts-inter``): pages ask for
whatever the system's own are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page
from support.chromium import running_chromium
from support.dashboard import ADMIN, PAGES, make_bases, paths_of, serving
from support.pixels import settle
from support.visiting import DESK, PHONE, Theme, Visitors

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
MOST_BYTES = 150 * 1024
TALLEST = 4000  # CSS pixels
LOOKS: tuple[tuple[str, Theme, tuple[int, int]], ...] = (
    ("light", "light", DESK),
    ("dark", "dark", DESK),
    ("phone", "light", PHONE),
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <match target="pattern">
    <test name="family"><string>sans-serif</string></test>
    <edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit>
  </match>
</fontconfig>
"""


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, fonts(Path(place)):
        make_bases(Path(place, "data"), Path(place, "home"))
        with serving(Path(place, "data")) as server, running_chromium() as browser:
            draw_all(Visitors(browser, server), paths_of(server))


def draw_all(visitors: Visitors, paths: Mapping[str, str]) -> None:
    """Every page in every look, and the one that has no address: a token that was made."""
    for look, theme, size in LOOKS:
        for name in PAGES:
            with visitors.open(*PAGES[name], theme=theme, size=size, motion=False) as visit:
                write(picture(visit.go(paths[name])), f"{name}-{look}")
        with visitors.open(*ADMIN, theme=theme, size=size, motion=False) as visit:
            write(picture(make_token(visit.go(paths["tokens"]))), f"token-made-{look}")


def make_token(page: Page) -> Page:
    """Send the form of the page of tokens."""
    page.get_by_label("Name", exact=True).fill("alice")
    page.get_by_role("button", name="Make it").click()
    page.locator("#secret").wait_for()
    return page


def picture(page: Page) -> Image.Image:
    """The whole page, with nothing in motion."""
    settle(page)
    return Image.open(BytesIO(page.screenshot(full_page=True, animations="disabled")))


def write(image: Image.Image, name: str) -> None:
    """Keep a picture in few colours, which is what makes it small."""
    drawn = image.convert("RGB").crop((0, 0, image.width, min(image.height, TALLEST)))
    for colors in (256, 128, 64, 32):
        packed = BytesIO()
        drawn.quantize(colors).save(packed, "PNG", optimize=True)
        if len(packed.getvalue()) <= MOST_BYTES:
            break
    (FOLDER / f"{name}.png").write_bytes(packed.getvalue())


@contextmanager
def fonts(place: Path) -> Iterator[None]:
    """Have the system's own letters be Inter for the browser that starts within."""
    config = place / "fonts.conf"
    config.write_text(_FONTS)
    os.environ["FONTCONFIG_FILE"] = str(config)
    try:
        yield
    finally:
        del os.environ["FONTCONFIG_FILE"]


if __name__ == "__main__":
    main()

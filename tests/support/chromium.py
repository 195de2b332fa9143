"""The Chromium that the machine has, headless and cut off from every host but this one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from .requirements import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium's own needs a user other than root; the pages are ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers give it 64 MiB
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that asked another host would not get there; that it asked is a test's to see.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser for as long as the context lasts.

    Skips the test where there is none, or fails it where one is required.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("browser", "install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=_FLAGS, ignore_default_args=["--headless"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for a file's tests.

    Not for all of a process's: while Playwright runs, its thread counts as one that runs an event
    loop, and no other test could begin one.
    """
    with running_chromium() as browser:
        yield browser

"""A person with a browser at a dashboard: who they are, and what they see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from sparsegrad_shared.tokens import Scope

from .serving import Serving
from .watching import Watch

Theme = Literal["light", "dark"]

DESK = (1280, 900)
PHONE = (360, 740)
PATIENCE_MS = 20_000.0  # until a test says that something does not come
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Visit:
    """One tab of a browser, signed in or not.

    Attributes:
        page: the tab; addresses may be paths.
        watch: what it said and asked for.
        url: the dashboard's address.
    """

    page: Page
    watch: Watch
    url: str

    def go(self, path: str) -> Page:
        """Load a page with all that it is made of."""
        self.page.goto(path, wait_until="load")
        return self.page

    def sign_in(self, secret: str) -> None:
        """Fill in the form of the page that it is at, and send it."""
        self.page.get_by_label("Token", exact=True).fill(secret)
        self.page.get_by_role("button", name="Sign in").click()

    @property
    def path(self) -> str:
        """Where the tab is, with its query."""
        parts = urlsplit(self.page.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")


class Visitors:
    """Opens tabs at a dashboard.

    Args:
        browser: with what.
        server: the dashboard.
    """

    def __init__(self, browser: Browser, server: Serving) -> None:
        self._browser = browser
        self.server = server
        self._sessions: dict[tuple[str, Scope], StorageState] = {}

    @contextmanager
    def open(
        self,
        scope: Scope | None = "admin",
        namespace: str = "team",
        *,
        theme: Theme = "light",
        size: tuple[int, int] = DESK,
        scripts: bool = True,
        motion: bool = True,
        scale: float = 1,
    ) -> Iterator[Visit]:
        """A tab, which is closed at the end; by then it must have been quiet.

        Args:
            scope: of the token that it is signed in with; None for nobody.
            namespace: of that token.
            theme: which one the system prefers.
            size: of the window, in CSS pixels.
            scripts: whether they are on.
            motion: whether the system has nothing against it.
            scale: device pixels of a CSS pixel.
        """
        session = None if scope is None else self._session(namespace, scope)
        context = self._browser.new_context(
            base_url=self.server.url,
            storage_state=session,
            color_scheme=theme,
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=scripts,
            reduced_motion="no-preference" if motion else "reduce",
            device_scale_factor=scale,
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE_MS)
        try:
            watch = Watch(context, urlsplit(self.server.url).netloc)
            yield Visit(context.new_page(), watch, self.server.url)
            watch.assert_quiet()
        finally:
            context.close()

    def _session(self, namespace: str, scope: Scope) -> StorageState:
        """The cookies of who signed in, through the form, as people do."""
        who = namespace, scope
        if who not in self._sessions:
            with self.open(None) as visit:
                visit.go("/sign-in")
                visit.sign_in(self.server.token(namespace, scope))
                visit.page.wait_for_url("**/bases")
                self._sessions[who] = visit.page.context.storage_state()
        return self._sessions[who]


@pytest.fixture(scope="module")
def visitors(chromium: Browser, dashboard: Serving) -> Visitors:
    """Visitors of the dashboard with the bases of MiniLM."""
    return Visitors(chromium, dashboard)

"""What a browser says and asks for while a test looks at a page."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

# A browser says so itself about each answer of 400 and above; the test asked for that answer.
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_INSIDE = ("data", "blob", "about")


class Watch:
    """Records what the pages of a context say, ask for and are answered.

    Args:
        context: whose pages.
        host: the one host and port that they may ask.
    """

    def __init__(self, context: BrowserContext, host: str) -> None:
        self._host = host
        self.asked: list[str] = []
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        self.faults: list[str] = []
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", self._error)

    def assert_quiet(self) -> None:
        """No page asked another host, failed, or had anything to complain of.

        Violations of the content security policy are complaints too.
        """
        assert not self.elsewhere, f"asked other hosts: {self.elsewhere}"
        assert not self.complaints, f"the console says: {self.complaints}"
        assert not self.faults, f"the server failed: {self.faults}"

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in _INSIDE and parts.netloc != self._host:
            self.elsewhere.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _REFUSED.match(message.text):
            self.complaints.append(f"{message.type}: {message.text}")

    def _error(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")

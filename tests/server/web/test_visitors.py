"""Where a visitor is sent on to, and what no path can lead to."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_server.web.visitors import HOME, local


@pytest.mark.parametrize("path", ["/bases", "/bases/team/x/1?group=up", "/compare?a=b%40c", "/"])
def test_a_path_of_this_server_is_gone_on_to(path: str) -> None:
    assert local(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None, "", "bases", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil",
        "https://evil.example/", "javascript:alert(1)", "/\t/evil.example", "/a\r\nSet-Cookie: x",
        "/sign-in", "/sign-in?next=/sign-in", "http:/bases", " /bases",
    ],
)  # fmt: skip
def test_anything_else_leads_to_the_first_page(path: str | None) -> None:
    assert local(path) == HOME


@given(st.text(alphabet="/\\:@.?#ab\t\n \x00%e", max_size=12))
def test_no_text_leads_to_another_host(text: str) -> None:
    after = local(text)
    parts = urlsplit(f"https://ours.example{after}")
    assert after.startswith("/")
    assert not after.startswith(("//", "/\\"))
    assert parts.netloc == "ours.example"
    assert after.isprintable()

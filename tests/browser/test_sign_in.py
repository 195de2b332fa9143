"""Signing in with a token, and out, as a person does."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.dashboard import BASIS
from support.visiting import Visit, Visitors

UNKNOWN = "sg_" + "a" * 43


def test_a_page_without_a_session_asks_to_sign_in_and_comes_back(
    nobody: Visit, secret: str
) -> None:
    page = nobody.go("/bases?q=minilm")
    assert nobody.path.startswith("/sign-in?next=")
    page.get_by_label("Token", exact=True).fill(secret)
    page.keyboard.press("Enter")
    page.wait_for_url("**/bases?q=minilm")
    expect(page.get_by_role("link", name=BASIS).first).to_be_visible()


@pytest.mark.parametrize("wrong", [UNKNOWN, "not a token", "<script>alert(1)</script>"])
def test_a_wrong_token_is_refused_at_its_field(nobody: Visit, wrong: str) -> None:
    page = nobody.go("/sign-in")
    field = page.get_by_label("Token", exact=True)
    nobody.sign_in(wrong)
    expect(field).to_have_attribute("aria-invalid", "true")
    message = page.locator(f"#{(field.get_attribute('aria-describedby') or '').split()[-1]}")
    expect(message).to_be_visible()
    assert len(message.inner_text()) > 10
    expect(field).to_have_value("")
    assert wrong not in page.content()
    assert page.context.cookies() == []


def test_the_session_is_a_cookie_that_no_script_reads(nobody: Visit, secret: str) -> None:
    page = nobody.go("/sign-in")
    nobody.sign_in(secret)
    page.wait_for_url("**/bases")
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert secret not in cookie["value"]
    assert page.evaluate("document.cookie") == ""


def test_who_has_signed_out_is_nobody_even_with_the_cookie_that_they_had(
    nobody: Visit, secret: str
) -> None:
    page = nobody.go("/sign-in")
    nobody.sign_in(secret)
    page.wait_for_url("**/bases")
    had = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in**")
    assert page.context.cookies() == []
    page.context.add_cookies(had)  # type: ignore[arg-type] - what came out goes in
    nobody.go("/bases")
    assert nobody.path.startswith("/sign-in")


def test_a_page_of_elsewhere_in_next_is_not_gone_to(nobody: Visit, secret: str) -> None:
    page = nobody.go("/sign-in?next=//example.org/")
    nobody.sign_in(secret)
    page.wait_for_url("**/bases")
    assert page.url.startswith(nobody.url)


def test_the_back_button_after_signing_out_shows_nothing(nobody: Visit, secret: str) -> None:
    page = nobody.go("/sign-in")
    nobody.sign_in(secret)
    page.wait_for_url("**/bases")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in**")
    page.go_back()
    expect(page.get_by_text(BASIS)).to_have_count(0)


@pytest.fixture
def secret(visitors: Visitors) -> str:
    """A token that may read."""
    return visitors.server.token("team", "read")

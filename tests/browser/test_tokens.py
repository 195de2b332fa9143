"""Tokens: made once, shown once, revoked after a question; and the server's own page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from support.accessibility import grave_findings
from support.visiting import Visit, Visitors


def test_a_token_is_shown_once_signs_somebody_in_and_is_revoked_after_a_question(
    admin: Visit, visitors: Visitors
) -> None:
    page = admin.go("/tokens")
    _fill(page, name="alice", days="7")
    page.get_by_role("button", name="Make it").click()
    secret = page.locator("#secret").inner_text().strip()
    assert secret.startswith("sg_")
    expect(page.locator("#use")).to_contain_text(f"export SPARSEGRAD_TOKEN={secret}")
    assert grave_findings(page) == []

    page.goto("/tokens")
    expect(page.get_by_role("rowheader", name="alice")).to_be_visible()
    assert secret not in page.content()

    with visitors.open(None) as alice:
        alice.go("/sign-in")
        alice.sign_in(secret)
        alice.page.wait_for_url("**/bases")

        page.get_by_role("link", name="Revoke alice").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("alice")
        page.get_by_role("link", name="Keep it").click()
        page.get_by_role("link", name="Revoke alice").click()
        page.get_by_role("button", name="Revoke it").click()
        page.wait_for_url("**/tokens")
        expect(page.get_by_role("link", name="Revoke alice")).to_have_count(0)

        alice.go("/bases")
        assert alice.path.startswith("/sign-in")


@pytest.mark.parametrize(
    ("name", "days", "field"),
    [
        ("carol", "soon", "Days"),
        ("carol", "-1", "Days"),
        ("carol", "0", "Days"),
        (" ", "7", "Name"),
    ],
)
def test_what_cannot_be_granted_is_told_at_its_field_and_values_stay(
    admin: Visit, name: str, days: str, field: str
) -> None:
    page = admin.go("/tokens")
    _fill(page, name=name, days=days)
    page.get_by_role("button", name="Make it").click()
    wrong = page.get_by_label(field, exact=True)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    message = page.locator(f"#{(wrong.get_attribute('aria-describedby') or '').split()[-1]}")
    expect(message).to_contain_text("Expected")
    expect(page.get_by_label("Days", exact=True)).to_have_value(days)
    assert grave_findings(page) == []


def test_who_may_only_read_is_told_that_tokens_and_the_system_are_not_for_them(
    reader: Visit,
) -> None:
    for address in ("/tokens", "/system"):
        page = reader.go(address)
        expect(page.locator("main")).to_contain_text("admin")
        expect(page.get_by_role("link", name="Tokens")).to_have_count(0)


def test_an_operator_sees_the_disk_and_the_worker_and_an_admin_only_the_namespace(
    visitors: Visitors, admin: Visit
) -> None:
    with visitors.open("admin", namespace="*") as operator:
        page = operator.go("/system")
        expect(page.get_by_role("heading", name="Where things are kept")).to_be_visible()
        expect(page.get_by_text("alive").first).to_be_visible()
        expect(page.get_by_role("rowheader", name="other")).to_be_visible()
    page = admin.go("/system")
    expect(page.get_by_role("heading", name="Where things are kept")).to_have_count(0)
    expect(page.get_by_role("rowheader", name="other")).to_have_count(0)


def _fill(page: Page, *, name: str, days: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Days", exact=True).fill(days)

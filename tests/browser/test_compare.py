"""Two bases side by side."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.dashboard import BASIS, GROUPS, LAYERS
from support.pixels import colour, drawing
from support.visiting import Visit


def test_two_versions_are_chosen_and_their_angles_drawn(reader: Visit) -> None:
    page = reader.go("/compare")
    page.get_by_label("One basis").fill(f"{BASIS}@1")
    page.get_by_label("The other").fill(f"{BASIS}@2")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?**")
    chart = page.locator("#angles-chart canvas")
    expect(chart).to_be_visible()
    first = drawing(chart)
    for line in ("accent", "second"):
        assert first.share_of_width(colour(page, line)) > 0.4
    page.get_by_label("Group").select_option(GROUPS[1])
    assert first.share_unlike(drawing(chart)) > 0
    rows = page.get_by_role("region", name="Principal angles").locator("tbody tr")
    expect(rows).to_have_count(2 * len(GROUPS))


def test_a_basis_beside_itself_shares_everything(reader: Visit) -> None:
    page = reader.go(f"/compare?a={BASIS}@1&b={BASIS}:prod")
    expect(page.get_by_text("are the same basis")).to_be_visible()
    shared = page.get_by_role("region", name="Principal angles").locator("tbody strong")
    assert set(shared.all_inner_texts()) == {"100.0%"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("no name at all", "no name at all"),
        ("team/nobody@1", "team/nobody"),
        (f"{BASIS}@99", "99"),
        (f"{LAYERS}@1", "group"),
        ("<b>bold</b>", "<b>bold</b>"),
    ],
)
def test_what_cannot_be_compared_is_told_at_its_field(reader: Visit, other: str, said: str) -> None:
    page = reader.go("/compare")
    page.get_by_label("One basis").fill(f"{BASIS}@1")
    page.get_by_label("The other").fill(other)
    page.get_by_role("button", name="Compare").click()
    field = page.get_by_label("The other")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value(other)
    message = page.locator(f"#{field.get_attribute('aria-describedby')}")
    expect(message).to_contain_text(said)

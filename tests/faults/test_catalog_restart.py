"""The database is restarted while uploads and jobs run: they wait, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import httpx
from support.faults import verdict
from support.faults.campaign import Campaign, await_end, await_until, new_token, processes
from support.faults.contents import Contents
from support.postgres import Postgres

CALIBRATIONS = 3


def test_a_database_that_is_restarted_costs_a_wait_and_nothing_else(
    tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    campaign = Campaign(tmp_path, Contents(seed=3), {"catalog_url": postgres_url})
    token = new_token(campaign.settings)
    with processes(campaign, CALIBRATIONS) as running:
        await_until(lambda: _acknowledged(campaign) > 20, "no gradient was acknowledged")
        postgres.stop()
        try:
            _assert_told_to_come_again(campaign.url, token)
            assert running["server"].exit_code is None
        finally:
            postgres.start()
        await_end(campaign, running)
    verdict.assert_acknowledged_is_there(campaign)
    verdict.assert_bases_are_whole(campaign)
    verdict.assert_no_job_is_stuck(campaign)
    verdict.assert_nothing_is_wrong(campaign)
    assert len(campaign.known) == CALIBRATIONS


def _acknowledged(campaign: Campaign) -> int:
    return sum(len(known.acknowledged) for known in campaign.known.values())


def _assert_told_to_come_again(url: str, token: str) -> None:
    """A server without its catalog lives, is not ready, and says when to come again."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        assert client.get("/livez").status_code == 200
        answer = client.get("/v1/bases")
    assert answer.status_code == 503, answer.text
    assert float(answer.headers["Retry-After"]) > 0

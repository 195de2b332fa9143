"""Words, bars and states of what moves: what each situation is said to be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sparsegrad_server.catalog.arrivals import Arrivals
from sparsegrad_server.jobs.queue import MAX_ATTEMPTS
from sparsegrad_server.live.calibrations import CalibrationSeen
from sparsegrad_server.web import calibration_views, job_views
from sparsegrad_server.web.job_views import JobSeen
from sparsegrad_shared.bases import PublishedVersion
from sparsegrad_shared.errors import JobFailed
from sparsegrad_shared.jobs import JobStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + 64 * "a"
UP = Arrivals("up", 3, 6, 1, 2, 4_000_000, 1)
OPEN = CalibrationSeen("open", (UP,), None, None, 0)
BASIS = PublishedVersion(name="team/tiny", version=3, digest=DIGEST)


def job(state: str, **changes: Any) -> JobStatus:
    usual = {
        "id": "job-1",
        "calibration": "cal-1",
        "state": state,
        "phase": "summing gradients of up",
        "completed": 3,
        "total": 8,
        "created": NOW,
        "updated": NOW,
        "error": JobFailed("ask for a rank").to_problem() if state == "failed" else None,
        "basis": BASIS if state == "done" else None,
    }
    return JobStatus.model_validate(usual | changes)


def finished(state: str, ahead: int = 0, **changes: Any) -> CalibrationSeen:
    return CalibrationSeen("finished", (UP,), job(state, **changes), None, ahead)


@pytest.mark.parametrize(
    ("seen", "states"),
    [
        (OPEN, ("current", "waiting", "waiting")),
        (replace(OPEN, state="expired"), ("failed", "waiting", "waiting")),
        (finished("queued"), ("done", "current", "waiting")),
        (finished("leased"), ("done", "current", "waiting")),
        (finished("leased", phase="publishing"), ("done", "done", "current")),
        (finished("done"), ("done", "done", "done")),
        (finished("failed"), ("done", "failed", "waiting")),
        (finished("failed", phase="publishing"), ("done", "done", "failed")),
    ],
)
def test_the_steps_are_where_the_calibration_is(
    seen: CalibrationSeen, states: tuple[str, ...]
) -> None:
    live = calibration_views.live(seen)
    assert tuple(live.states[step] for step in calibration_views.STEPS) == states
    assert all(live.texts[f"{step}-state"] for step in calibration_views.STEPS)
    assert live.shown["basis"] == (states[2] == "done")


@pytest.mark.parametrize(
    ("seen", "step", "words"),
    [
        (OPEN, "arrive", "4 of 8 gradients · 4.0 MB"),
        (
            replace(OPEN, bytes_per_second=1500.4, arrival_seconds=125.0),
            "arrive",
            "4 of 8 gradients · 4.0 MB · 1.5 kB/s · about 2 min 5 s left at this rate",
        ),
        (
            replace(OPEN, groups=(replace(UP, fitted=6, held_out=2),), bytes_per_second=0.0),
            "arrive",
            "8 of 8 gradients · 4.0 MB · 0 B/s · all are here; the client finishes it",
        ),
        (OPEN, "compute", "begins when the client finishes the calibration"),
        (
            replace(OPEN, summing=job("leased")),
            "compute",
            "summing gradients of up, while more arrive",
        ),
        (replace(OPEN, summing=job("queued")), "compute", "begins when the client finishes"),
        (finished("queued", phase="waiting for a worker"), "compute", "waiting for a worker"),
        (
            finished("queued", ahead=2, phase="waiting for a worker"),
            "compute",
            "waiting for a worker; 2 jobs before it",
        ),
        (finished("leased"), "compute", "summing gradients of up · 3 of 8"),
        (
            replace(finished("leased"), phase_seconds=5.2),
            "compute",
            "summing gradients of up · 3 of 8 · about 5 s left of this phase",
        ),
        (finished("leased", completed=0, total=1), "compute", "summing gradients of up"),
        (finished("failed"), "compute", "ask for a rank"),
        (finished("done"), "publish", f"team/tiny@3, {DIGEST}"),
    ],
)
def test_a_step_says_what_happens_in_it(seen: CalibrationSeen, step: str, words: str) -> None:
    assert calibration_views.live(seen).texts[step].startswith(words)


def test_nothing_unknown_is_given_a_number() -> None:
    live = calibration_views.live(finished("leased", completed=0, total=1))
    assert live.bars["compute"] is None
    assert calibration_views.live(OPEN).texts["rate"] == ""
    assert "left" not in live.texts["compute"]


def seen(state: str, **changes: Any) -> JobSeen:
    leased = NOW + timedelta(seconds=25) if state == "leased" else None
    worker = "gpu-box" if state == "leased" else None
    status = JobSeen(job(state), "publish", 2, worker, leased)
    return replace(status, **changes)


@pytest.mark.parametrize(
    ("of", "name", "words"),
    [
        (seen("leased"), "worker", "gpu-box, whose lease holds for 25 s without a heartbeat"),
        (seen("leased", leased_until=NOW), "worker", "gpu-box, silent: its lease has run out"),
        (seen("queued"), "worker", "none yet: the next one that is free takes it"),
        (
            seen("queued", leased_until=NOW + timedelta(seconds=9)),
            "worker",
            "tried again in 9 s, after an error",
        ),
        (seen("done"), "worker", "none: it has ended"),
        (seen("queued", attempts=0), "attempt", f"none yet, of at most {MAX_ATTEMPTS}"),
        (seen("leased"), "attempt", f"2 of at most {MAX_ATTEMPTS}"),
        (seen("leased"), "phase", "summing gradients of up · 3 of 8"),
        (seen("failed"), "phase", "failed while summing gradients of up"),
        (seen("failed"), "error", "ask for a rank"),
        (seen("done"), "error", ""),
    ],
)
def test_a_job_says_who_has_it_and_what_it_is_at(of: JobSeen, name: str, words: str) -> None:
    assert job_views.live(of, NOW).texts[name].startswith(words)


def test_only_a_job_at_work_that_counts_has_a_bar_with_an_end() -> None:
    assert job_views.live(seen("leased"), NOW).bars["phase"] == (3, 8)
    for of in (seen("queued"), seen("done"), seen("failed")):
        assert job_views.live(of, NOW).bars["phase"] is None

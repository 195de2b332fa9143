"""A calibration as it is seen from its first gradient to its basis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.catalog import calibrations
from sparsegrad_server.jobs import queue
from sparsegrad_server.live.calibrations import CalibrationWatch, calibration_looks
from sparsegrad_server.live.jobs import JobPace
from sparsegrad_shared.errors import UnknownCalibration

UP, DOWN = group_of("up"), group_of("down", d_out=8, d_in=12, gradients=3, held_out=1)
LEASE = timedelta(seconds=60)


def test_arrivals_are_seen_of_each_group_apart(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP, DOWN]))
    watch = CalibrationWatch(bench.catalog, calibration)
    assert (watch().stored, watch().expected) == (0, 12)
    for index in (0, 1, 6):
        bench.store(calibration, UP, index, decaying(index))
    seen = watch()
    up, down = seen.groups
    assert (up.fitted, up.fitted_expected, up.held_out, up.held_out_expected) == (2, 6, 1, 2)
    assert (down.stored, down.expected) == (0, 4)
    assert seen.stored == 3
    assert seen.bytes == up.bytes > 3 * 12 * 8 * 4
    assert (seen.state, seen.job, seen.ended) == ("open", None, False)


def test_a_speed_needs_two_looks_and_a_time_left_something_that_arrives(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP]))
    watch = CalibrationWatch(bench.catalog, calibration)
    bench.store(calibration, UP, 0, decaying(0))
    first = watch()
    assert (first.bytes_per_second, first.arrival_seconds, first.line) == (None, None, ())
    still = watch()
    assert (still.bytes_per_second, still.arrival_seconds) == (0, None)
    bench.store(calibration, UP, 1, decaying(1))
    moving = watch()
    assert moving.bytes_per_second is not None
    assert moving.bytes_per_second > 0
    assert moving.arrival_seconds is not None
    assert len(moving.line) == 2
    assert moving.line[-1][0] == 0


def test_its_job_is_seen_until_the_basis_is_there(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP]))
    bench.store_all(calibration, UP)
    watch = CalibrationWatch(bench.catalog, calibration)
    summing = watch().summing
    assert summing is not None
    assert summing.state == "queued"
    job = bench.finish(calibration)
    waiting = watch()
    assert (waiting.state, waiting.ended) == ("finished", False)
    assert waiting.job is not None
    assert (waiting.job.id, waiting.job.state) == (job, "queued")
    bench.work()
    done = watch()
    assert done.job is not None
    assert done.job.basis is not None
    assert done.job.basis.name == "team/tiny"
    assert done.ended


def test_jobs_that_a_worker_takes_first_are_counted(bench: Workbench) -> None:
    waiting = [bench.open(manifest_of([UP], name=f"team/n{number}")) for number in range(3)]
    for calibration in waiting:
        bench.store_all(calibration, UP)
        bench.finish(calibration)
    ahead = [CalibrationWatch(bench.catalog, each)().ahead for each in waiting]
    assert ahead == [0, 1, 2]
    bench.work()
    assert CalibrationWatch(bench.catalog, waiting[-1])().ahead == 0


def test_what_looks_alike_is_equal_though_the_line_has_moved(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP]))
    watch = CalibrationWatch(bench.catalog, calibration)
    watch()
    second, third = watch(), watch()
    assert second == third
    assert second.line != third.line


def test_one_that_expired_has_ended(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP]))
    now = datetime.now(UTC)
    with bench.catalog.writing() as session:
        calibrations.expire(session, calibrations.get(session, calibration), now)
    seen = CalibrationWatch(bench.catalog, calibration)()
    assert (seen.state, seen.ended) == ("expired", True)


def test_one_that_is_not_there_is_an_error_for_each_who_looks(bench: Workbench) -> None:
    looks = calibration_looks(bench.catalog)
    for _ in range(2):
        with pytest.raises(UnknownCalibration):
            looks.see("none")


def test_the_time_left_of_a_phase_is_of_that_phase_alone(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([UP]))
    bench.store_all(calibration, UP)
    job = bench.finish(calibration)
    pace = JobPace()
    assert pace.seconds_left(bench.job(job), 0.0) is None  # it waits
    now = datetime.now(UTC)
    with bench.catalog.writing() as session:
        lease = queue.claim(session, "a", now, LEASE)
        assert lease is not None
        queue.report(session, lease, "summing gradients of up", 2, 8, now, [])
    assert pace.seconds_left(bench.job(job), 10.0) is None
    with bench.catalog.writing() as session:
        queue.report(session, lease, "summing gradients of up", 4, 8, now, [])
    assert pace.seconds_left(bench.job(job), 13.0) == pytest.approx(6.0)
    with bench.catalog.writing() as session:
        queue.report(session, lease, "solving U and V of up", 1, 2, now, [])
    assert pace.seconds_left(bench.job(job), 14.0) is None

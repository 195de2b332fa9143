"""What a job says: its phases, its attempts, its errors; by its own worker, and by no other."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.catalog import job_lines
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.queue import Lease, LeaseLost
from sparsegrad_server.jobs.saying import PhaseLog, done
from sparsegrad_server.jobs.work import Monitor
from sparsegrad_shared.errors import JobFailed, ServerFault
from sparsegrad_shared.jobs import JobLine

GROUPS = (group_of("up"), group_of("down", d_out=8, d_in=12))
LEASE = timedelta(seconds=30)


def lines_of(bench: Workbench, job: str) -> list[JobLine]:
    with bench.catalog.reading() as session:
        return list(job_lines.read(session, job, 10_000).lines)


def finished(bench: Workbench) -> str:
    calibration = bench.open(manifest_of(GROUPS))
    for group in GROUPS:
        bench.store_all(calibration, group)
    return bench.finish(calibration)


def claim(bench: Workbench, worker: str, now: datetime) -> Lease:
    with bench.catalog.writing() as session:
        lease = queue.claim(session, worker, now, LEASE)
    assert lease is not None
    return lease


def give_back_but_fail(bench: Workbench, lease: Lease) -> None:
    with bench.catalog.writing() as session:
        queue.release(session, lease, datetime.now(UTC))
        raise ZeroDivisionError


def monitor(bench: Workbench, lease: Lease) -> Monitor:
    return Monitor(bench.catalog, lease, threading.Event(), lambda _phase: None)


def test_a_job_tells_its_estimate_its_phases_with_their_seconds_and_what_it_published(
    bench: Workbench,
) -> None:
    job = finished(bench)
    bench.work()
    lines = lines_of(bench, job)
    texts = [line.text for line in lines]
    assert texts[0].startswith(f"attempt 1 of {queue.MAX_ATTEMPTS}: worker {bench.worker.name}")
    assert texts[1].startswith("planned for about ")
    assert texts[-1] == "published as version 1"
    for name in ("up", "down"):
        phase = f"solving U and V of {name}"
        began = texts.index(phase)
        (ended,) = (at for at, text in enumerate(texts) if text.startswith(f"{phase}: done in "))
        assert began < ended
    assert {line.level for line in lines} == {"info"}
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    times = [line.at for line in lines]
    assert times == sorted(times)


def test_every_phase_that_began_is_said_to_have_ended(bench: Workbench) -> None:
    job = finished(bench)
    bench.work()
    texts = [line.text for line in lines_of(bench, job)]
    begun = [
        text
        for text in texts
        if text.startswith(("summing", "solving", "judging", "writing")) and ": " not in text
    ]
    assert begun
    for phase in begun:
        assert sum(text.startswith(f"{phase}: done in ") for text in texts) == 1


def test_what_was_summed_already_is_said_to_be_gone_on_from(bench: Workbench) -> None:
    calibration = bench.open(manifest_of([GROUPS[0]]))
    bench.store_all(calibration, GROUPS[0])
    bench.work()  # sums while the calibration is open
    job = bench.finish(calibration)
    bench.work()
    expected = "6 of 6 gradients of up were summed already: going on from there"
    assert expected in [line.text for line in lines_of(bench, job)]


def test_an_error_is_said_with_its_advice(bench: Workbench) -> None:
    job = finished(bench)
    now = datetime.now(UTC)
    lease = claim(bench, "a", now)
    problem = JobFailed("group up needs 9 GiB: ask for a rank").to_problem()
    with bench.catalog.writing() as session:
        queue.fail(session, lease, problem, now)
    last = lines_of(bench, job)[-1]
    assert (last.level, last.text) == ("error", "group up needs 9 GiB: ask for a rank")


def test_attempts_follow_one_another_in_one_log(bench: Workbench) -> None:
    job = finished(bench)
    now = datetime.now(UTC)
    passing = ServerFault("OSError: No space left on device").to_problem()
    for attempt in range(queue.MAX_ATTEMPTS):
        lease = claim(bench, f"worker-{attempt}", now)
        with bench.catalog.writing() as session:
            queue.retry(session, lease, passing, now)
        now += timedelta(minutes=10)
    lines = lines_of(bench, job)
    begun = [line.text for line in lines if line.level == "info"]
    assert begun == [
        f"attempt {number + 1} of {queue.MAX_ATTEMPTS}: worker worker-{number} has it"
        for number in range(queue.MAX_ATTEMPTS)
    ]
    ends = [(line.level, line.text) for line in lines if line.level != "info"]
    assert ends[0] == ("warning", "OSError: No space left on device; tried again in 2 s")
    assert ends[-1] == (
        "error",
        f"OSError: No space left on device; that was attempt {queue.MAX_ATTEMPTS}, the last",
    )


def test_a_worker_that_lost_its_lease_says_nothing_and_is_said_to_be_lost(
    bench: Workbench,
) -> None:
    job = finished(bench)
    now = datetime.now(UTC)
    first = claim(bench, "first", now)
    monitor(bench, first).say("info", "heard")
    claim(bench, "second", now + 2 * LEASE)
    before = lines_of(bench, job)
    with pytest.raises(LeaseLost):
        monitor(bench, first).say("warning", "unheard")
    with pytest.raises(LeaseLost):
        monitor(bench, first).step("judging of up", 0, 1)
    assert lines_of(bench, job) == before
    texts = [line.text for line in before]
    assert "heard" in texts
    assert "worker first was lost while 'waiting for a worker': its lease ran out" in texts


def test_a_job_that_is_given_back_says_so(bench: Workbench) -> None:
    job = finished(bench)
    asked = threading.Event()
    asked.set()
    bench.worker.work_once(asked)
    assert lines_of(bench, job)[-1].text == "given back: its worker was asked to stop"


def test_the_process_s_log_has_what_was_kept_and_nothing_that_was_undone(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    job = finished(bench)
    lease = claim(bench, "a", datetime.now(UTC))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        monitor(bench, lease).say("warning", "this is so")
        with pytest.raises(ZeroDivisionError):
            give_back_but_fail(bench, lease)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "this is so")
    assert getattr(record, "fields") == {"job_id": job}  # noqa: B009 - set by `extra`
    assert lines_of(bench, job)[-1].text == "this is so"


PHASES = st.lists(st.sampled_from(("sum", "solve", "judge", "write")), max_size=4)


@given(st.lists(PHASES, max_size=20))
def test_of_phases_at_once_each_begins_once_and_ends_once(steps: list[list[str]]) -> None:
    log, said = PhaseLog(), []
    for clock, phases in enumerate([*steps, []]):
        said += log.enter(phases, float(clock))
    for phase in ("sum", "solve", "judge", "write"):
        of_phase = [text for text in said if text.split(":")[0] == phase]
        assert of_phase[::2] == [phase] * (len(of_phase) // 2)
        assert all(text.startswith(f"{phase}: done in ") for text in of_phase[1::2])
        assert len(of_phase) % 2 == 0


def test_a_phase_s_seconds_are_never_negative() -> None:
    assert done("judging", -0.2) == "judging: done in 0.0 s"

"""gc frees what nothing names, and nothing that anything names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from support.litter import GROUP, KEPT_ALIAS, Litter, collected, parts_of, scatter
from support.workbench import Workbench, decaying, manifest_of

from sparsegrad_server.catalog import gradients
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.catalog.tables import AliasRow, CalibrationRow, JobRow, VersionRow
from sparsegrad_server.checkup.check import check
from sparsegrad_server.checkup.gc import spare_things
from sparsegrad_server.checkup.spare import Age, Spare
from sparsegrad_server.jobs.worker import Worker
from sparsegrad_server.store.bases import BasisDraft
from sparsegrad_server.store.local_bases import LocalBasisStore

NO_GRACE = timedelta(0)
SOON = timedelta(minutes=1)  # clocks of a file system and of object storage are not ours


def age(grace: timedelta = NO_GRACE, later: timedelta = SOON) -> Age:
    return Age(datetime.now(UTC) + later, grace)


def spare(litter: Litter, at: Age | None = None) -> list[Spare]:
    return list(spare_things(parts_of(litter.bench), at or age()))


def sweep(litter: Litter) -> list[Spare]:
    """One run of gc; what it freed."""
    return [thing for thing in spare_things(parts_of(litter.bench), age()) if thing.free()]


def test_what_nothing_names_goes_and_what_is_named_stays(litter: Litter) -> None:
    freed = sweep(litter)
    kinds = {thing.what.partition(":")[0] for thing in freed}
    assert {
        "expired calibration",
        "gradients of no calibration",
        "slot of an upload that died",
        "factored left-over beside a stored one",
        "partial sums of no calibration",
        "partial sums of a calibration that is done",
        "staging",
        "import",
        "basis that no version names",
    } <= kinds
    assert spare(litter) == []
    litter.assert_named_is_there()
    assert litter.lying() == litter.named()
    assert not litter.bench.bases.holds(litter.deleted)
    counted, held = litter.bytes_counted()
    assert counted == held
    findings, notes = collected()
    check(parts_of(litter.bench), notes)
    assert findings == []


def test_looking_changes_nothing_and_says_the_bytes(litter: Litter) -> None:
    listed = [(thing.what, thing.bytes) for thing in spare(litter)]
    assert sum(size for _, size in listed) > 0
    assert [(thing.what, thing.bytes) for thing in spare(litter)] == listed
    litter.assert_named_is_there()


def test_what_is_young_is_left_alone(litter: Litter) -> None:
    grace = age(grace=timedelta(hours=6), later=NO_GRACE)
    kinds = {thing.what.partition(":")[0] for thing in spare(litter, grace)}
    # The files were written just now; what the catalog says is a day old.
    assert kinds == {
        "expired calibration",
        "slot of an upload that died",
        "factored left-over beside a stored one",
        "partial sums of a calibration that is done",
    }


def test_a_machine_whose_worker_is_silent_for_long_is_forgotten(litter: Litter) -> None:
    folder = litter.bench.settings.workers_folder
    folder.mkdir(exist_ok=True)
    machine = folder / "gone-container"
    machine.touch()

    def listed(later: timedelta) -> list[str]:
        at = age(grace=timedelta(hours=6), later=later)
        return [thing.what for thing in spare(litter, at) if machine.name in thing.what]

    assert listed(timedelta(days=6)) == []
    assert listed(timedelta(days=8)) == [f"machine without a worker: {machine.name}"]
    sweep(litter)
    assert not machine.exists()


def test_an_expired_calibration_keeps_its_row_and_gives_its_bytes_back(litter: Litter) -> None:
    before, _ = litter.bytes_counted()
    sweep(litter)
    after, held = litter.bytes_counted()
    assert before > after == held
    with litter.bench.catalog.reading() as session:
        assert session.get_one(CalibrationRow, litter.expired).state == "expired"
        # One whose job is still to be done is waited for.
        assert session.get_one(CalibrationRow, litter.busy).state == "open"
    litter.bench.work()
    sweep(litter)
    with litter.bench.catalog.reading() as session:
        assert session.get_one(CalibrationRow, litter.busy).state == "expired"
    assert litter.expired not in set(litter.bench.gradients.calibrations())


def test_a_slot_that_was_cleared_takes_a_gradient_again(litter: Litter) -> None:
    sweep(litter)
    for index in (2, 3, 4):
        litter.bench.store(litter.under_way, GROUP, index, decaying(index))
    sweep(litter)
    found = litter.bench.gradients.read(litter.under_way, GROUP, 3, "dense")["G"]
    assert (found == decaying(3)["G"]).all()


def test_a_slot_that_an_upload_took_over_meanwhile_is_left_alone(litter: Litter) -> None:
    (thing,) = (thing for thing in spare(litter) if thing.what.endswith(f"{GROUP.name}/3"))
    slot = Slot(litter.under_way, GROUP.name, 3)
    arrival = Arrival("sha256:live", "dense", zero=False, bytes=5, count=1, zero_count=0)
    with litter.bench.catalog.writing() as session:
        now = datetime.now(UTC)
        gradients.reserve(session, slot, arrival, "live", now, timedelta(seconds=30))
    assert not thing.free()
    with litter.bench.catalog.writing() as session:
        assert gradients.held(session, slot, "live").digest == "sha256:live"


def test_a_basis_that_was_named_again_meanwhile_is_left_alone(litter: Litter) -> None:
    (thing,) = (thing for thing in spare(litter) if litter.deleted in thing.what)
    with litter.bench.catalog.writing() as session:
        row = session.scalars(select(VersionRow).where(VersionRow.digest == litter.deleted)).one()
        row.deleted = None
    assert not thing.free()
    litter.bench.bases.verify(litter.deleted)


def test_what_an_alias_names_stays_even_if_its_version_was_deleted(litter: Litter) -> None:
    with litter.bench.catalog.writing() as session:
        for row in session.scalars(select(VersionRow)):
            row.deleted = datetime.now(UTC) - timedelta(days=365)
        assert session.get_one(AliasRow, ("team", "kept", KEPT_ALIAS)).version == 1
    sweep(litter)
    litter.bench.bases.verify(litter.digest)
    assert not litter.bench.bases.holds(litter.deleted)


def test_a_basis_that_went_away_unnamed_is_published_again(litter: Litter) -> None:
    """The same gradients give the same digest: the job finds nothing there and places it anew."""
    sweep(litter)
    bench = litter.bench
    calibration = bench.open(manifest_of([GROUP], name="team/again"))
    for index in range(GROUP.slots):
        bench.store(calibration, GROUP, index, decaying(100 + index))
    job = bench.finish(calibration)
    bench.work()
    basis = bench.job(job).basis
    assert basis is not None
    assert basis.digest == litter.deleted
    bench.bases.verify(litter.deleted)


def test_two_collectors_at_once_do_no_harm(litter: Litter) -> None:
    def collect() -> None:
        for thing in spare_things(parts_of(litter.bench), age()):
            thing.free()

    threads = [threading.Thread(target=collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spare(litter) == []
    litter.assert_named_is_there()
    counted, held = litter.bytes_counted()
    assert counted == held


class SweptOnce(LocalBasisStore):
    """A store that `gc` comes to just after a basis was placed, before it has a name."""

    litter: Litter
    swept = False

    @contextmanager
    def draft(self, key: str) -> Iterator[BasisDraft]:
        with super().draft(key) as draft:
            yield draft
        if not self.swept:
            self.swept = True
            sweep(self.litter)


def test_a_basis_that_gc_takes_before_it_has_its_name_is_published_again(tmp_path: Path) -> None:
    litter = scatter(Workbench(tmp_path / "data"))
    bench = litter.bench
    store = SweptOnce(bench.settings.bases_folder, bench.settings.partial_folder)
    store.litter = litter
    worker = Worker(bench.catalog, bench.gradients, store, bench.settings)
    calibration = bench.open(manifest_of([GROUP], name="team/late"))
    for index in range(GROUP.slots):
        bench.store(calibration, GROUP, index, decaying(200 + index))
    job = bench.finish(calibration)
    while not store.swept:
        assert worker.work_once(threading.Event())
    with bench.catalog.writing() as session:
        row = session.get_one(JobRow, job)
        assert (row.state, row.version) == ("queued", None)
        assert "removed" in str(row.error)
        row.leased_until = None  # it need not rest here
    bench.work()
    basis = bench.job(job).basis
    assert basis is not None
    bench.bases.verify(basis.digest)
    bench.catalog.close()

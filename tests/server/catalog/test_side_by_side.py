"""Writers that run at the same moment: each of these fails somewhere when a lock is left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from support.bases import made
from support.gradient_stores import group_spec, manifest_of
from support.side_by_side import at_once, begun

from sparsegrad_server.catalog import Catalog, aliases, bases, calibrations, gradients, namespaces
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.catalog.tables import BasisRow, JobRow
from sparsegrad_server.ingest.finish import finish
from sparsegrad_server.jobs import queue
from sparsegrad_server.jobs.queue import Lease, LeaseLost
from sparsegrad_shared.errors import (
    CalibrationClosed,
    NoGradients,
    PreconditionFailed,
    QuotaExceeded,
    SlotBusy,
    VersionInUse,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = timedelta(seconds=10)
WRITERS = 6
ROUNDS = 5
MANIFEST = manifest_of(group_spec())


def arrival(digest: str) -> Arrival:
    return Arrival(digest, "dense", zero=False, bytes=100, count=1, zero_count=0)


@pytest.fixture
def calibration(catalog: Catalog) -> str:
    with catalog.writing() as session:
        calibrations.add(session, "cal", MANIFEST, "ci", NOW)
    return "cal"


def kinds(outcomes: list[object]) -> dict[type, int]:
    found = [type(outcome) for outcome in outcomes]
    return {kind: found.count(kind) for kind in found}


def test_of_uploads_to_one_slot_one_has_it_and_the_others_are_told_to_come_again(
    catalog: Catalog, calibration: str
) -> None:
    def upload(slot: Slot, number: int) -> Callable[[], bool]:
        def reserve() -> bool:
            with catalog.writing() as session:
                calibrations.share(session, calibration)
                name = f"upload {number}"
                return gradients.reserve(session, slot, arrival(name), name, NOW, HOLD)

        return reserve

    for index in range(ROUNDS):
        slot = Slot(calibration, "up", index)
        outcomes = at_once([upload(slot, number) for number in range(WRITERS)])
        assert kinds(outcomes) == {bool: 1, SlotBusy: WRITERS - 1}
    with catalog.reading() as session:
        assert namespaces.bytes_held(session, "team") == ROUNDS * 100


def test_uploads_together_do_not_go_over_the_quota(catalog: Catalog) -> None:
    quota = 350

    def upload(calibration: str, index: int) -> Callable[[], bool]:
        def reserve() -> bool:
            slot = Slot(calibration, "up", index)
            with catalog.writing() as session:
                return gradients.reserve(session, slot, arrival("a"), "u", NOW, HOLD, quota)

        return reserve

    for number in range(ROUNDS):
        team, calibration = f"team-{number}", f"cal-{number}"
        manifest = MANIFEST.model_copy(update={"name": f"{team}/tiny"})
        with catalog.writing() as session:
            calibrations.add(session, calibration, manifest, "ci", NOW)
        outcomes = at_once([upload(calibration, index) for index in range(5)])
        assert kinds(outcomes) == {bool: 3, QuotaExceeded: 2}
        with catalog.reading() as session:
            assert namespaces.bytes_held(session, team) == 300


def test_what_uploads_reserve_and_give_back_at_once_adds_up(
    catalog: Catalog, calibration: str
) -> None:
    def come_and_go(index: int) -> Callable[[], None]:
        def act() -> None:
            slot = Slot(calibration, "up", index)
            for _ in range(ROUNDS):
                with catalog.writing() as session:
                    gradients.reserve(session, slot, arrival("a"), "u", NOW, HOLD)
                with catalog.writing() as session:
                    gradients.release(session, slot, "u")

        return act

    assert kinds(at_once([come_and_go(index) for index in range(WRITERS)])) == {type(None): WRITERS}
    with catalog.reading() as session:
        assert namespaces.bytes_held(session, "team") == 0


def test_namespaces_that_open_at_once_are_one(catalog: Catalog) -> None:
    def open_calibration(number: int) -> Callable[[], None]:
        def act() -> None:
            with catalog.writing() as session:
                calibrations.add(session, f"cal-{number}", MANIFEST, "ci", NOW)

        return act

    assert kinds(at_once([open_calibration(number) for number in range(WRITERS)])) == {
        type(None): WRITERS
    }


def end_upload(session: Session, slot: Slot) -> None:
    """The last transaction of an upload, as ingest has it."""
    calibrations.check_open(calibrations.share(session, slot.calibration_id))
    gradients.held(session, slot, "u").state = "stored"
    queue.request_accumulation(session, slot.calibration_id, NOW)


@pytest.fixture
def reserved(catalog: Catalog, calibration: str) -> Slot:
    slot = Slot(calibration, "up", 0)
    with catalog.writing() as session:
        gradients.reserve(session, slot, arrival("a"), "u", NOW, HOLD)
    return slot


def finish_now(catalog: Catalog, calibration: str) -> str:
    with catalog.writing() as session:
        return finish(session, calibrations.get(session, calibration)).id


def test_a_finish_counts_the_upload_that_ends_before_it(catalog: Catalog, reserved: Slot) -> None:
    with catalog.writing() as session:
        end_upload(session, reserved)
        session.flush()
        with begun(lambda: finish_now(catalog, reserved.calibration_id)) as finishing:
            session.commit()
            try:
                finishing.result(timeout=60)
            except NoGradients:
                pytest.fail("the finish did not wait for the upload that was ending")


def test_an_upload_that_ends_after_the_finish_is_refused(catalog: Catalog, reserved: Slot) -> None:
    with catalog.writing() as session:
        gradients.reserve(
            session, Slot(reserved.calibration_id, "up", 1), arrival("b"), "u", NOW, HOLD
        )
        gradients.held(session, Slot(reserved.calibration_id, "up", 1), "u").state = "stored"

    def upload() -> None:
        with catalog.writing() as session:
            end_upload(session, reserved)

    with catalog.writing() as session:
        finish(session, calibrations.get(session, reserved.calibration_id))
        session.flush()
        with begun(upload) as uploading:
            session.commit()
            with pytest.raises(CalibrationClosed):
                uploading.result(timeout=60)


def test_uploads_of_one_calibration_end_side_by_side_on_postgresql(postgres_url: str) -> None:
    catalog = Catalog(postgres_url)
    catalog.migrate()
    slots = [Slot("cal", "up", index) for index in range(2)]
    with catalog.writing() as session:
        calibrations.add(session, "cal", MANIFEST, "ci", NOW)
        for slot in slots:
            gradients.reserve(session, slot, arrival("a"), "u", NOW, HOLD)

    def upload() -> None:
        with catalog.writing() as session:
            end_upload(session, slots[1])

    with catalog.writing() as session:
        calibrations.share(session, "cal")
        gradients.held(session, slots[0], "u")  # as while its bytes are put in their place
        with begun(upload) as uploading:
            assert uploading.done()
            uploading.result()
    catalog.close()


def test_a_second_finish_and_the_publication_that_ends_beside_it_both_succeed(
    catalog: Catalog, reserved: Slot
) -> None:
    with catalog.writing() as session:
        end_upload(session, reserved)
    job = finish_now(catalog, reserved.calibration_id)
    lease = claim(catalog)
    assert lease is not None
    assert lease.job_id == job
    with catalog.writing() as session:
        queue.held(session, lease)
        with begun(lambda: finish_now(catalog, reserved.calibration_id)) as finishing:
            calibration = calibrations.get(session, reserved.calibration_id)
            version = bases.publish(session, made(0).manifest, calibration, NOW)
            queue.complete(session, lease, NOW, version.version)
            session.commit()
            assert finishing.result(timeout=60) == job


def test_gradients_that_arrive_at_once_ask_for_one_job(catalog: Catalog) -> None:
    for number in range(ROUNDS):
        with catalog.writing() as session:
            calibrations.add(session, f"cal-{number}", MANIFEST, "ci", NOW)

        def ask(calibration: str = f"cal-{number}") -> None:
            with catalog.writing() as session:
                queue.request_accumulation(session, calibration, NOW)

        assert kinds(at_once([ask] * WRITERS)) == {type(None): WRITERS}
    with catalog.reading() as session:
        assert len(session.scalars(select(JobRow)).all()) == ROUNDS


def claim(catalog: Catalog, now: datetime = NOW) -> Lease | None:
    with catalog.writing() as session:
        return queue.claim(session, "worker", now, HOLD)


def test_workers_that_claim_at_once_never_share_a_job_or_a_calibration(catalog: Catalog) -> None:
    with catalog.writing() as session:
        for number in range(ROUNDS):
            calibrations.add(session, f"cal-{number}", MANIFEST, "ci", NOW)
            queue.request_accumulation(session, f"cal-{number}", NOW)
            queue.enqueue_publish(session, f"cal-{number}", NOW)
    leases: list[Lease] = []
    for _ in range(ROUNDS):
        for outcome in at_once([lambda: claim(catalog)] * WRITERS):
            assert outcome is None or isinstance(outcome, Lease)
            leases += [outcome] if outcome else []
    assert sorted(lease.calibration_id for lease in leases) == [
        f"cal-{number}" for number in range(ROUNDS)
    ]
    assert {lease.fence for lease in leases} == {1}


def test_a_lease_that_runs_out_is_either_extended_or_taken(
    catalog: Catalog, calibration: str
) -> None:
    with catalog.writing() as session:
        queue.enqueue_publish(session, calibration, NOW)
    lease = claim(catalog)
    now = NOW
    for _ in range(ROUNDS):
        assert lease is not None
        now += HOLD

        def beat(held: Lease = lease, at: datetime = now) -> None:
            with catalog.writing() as session:
                queue.extend(session, held, at, HOLD)

        taken, extended = at_once([lambda at=now: claim(catalog, at), beat])
        if isinstance(taken, Lease):
            assert isinstance(extended, LeaseLost) or taken.fence == lease.fence + 1
            with pytest.raises(LeaseLost):
                beat()
            lease = taken
        else:
            assert (taken, extended) == (None, None)


def test_versions_that_are_published_at_once_have_numbers_of_their_own(catalog: Catalog) -> None:
    contents = [made(seed).manifest for seed in range(WRITERS)]

    def publish(number: int) -> Callable[[], int]:
        def act() -> int:
            with catalog.writing() as session:
                return bases.add_version(
                    session, contents[number], "team", "tiny", by="ci", now=NOW
                ).version

        return act

    versions = at_once([publish(number) for number in range(WRITERS)])
    assert sorted(map(str, versions)) == [str(number + 1) for number in range(WRITERS)]


def test_the_same_content_published_at_once_under_many_names_is_kept_once(
    catalog: Catalog,
) -> None:
    manifest = made(0).manifest

    def publish(number: int) -> Callable[[], int]:
        def act() -> int:
            with catalog.writing() as session:
                return bases.add_version(
                    session, manifest, f"team-{number}", "tiny", by="ci", now=NOW
                ).version

        return act

    assert at_once([publish(number) for number in range(WRITERS)]) == [1] * WRITERS
    with catalog.reading() as session:
        assert [row.digest for row in session.scalars(select(BasisRow))] == [manifest.digest()]


def test_of_moves_of_an_alias_that_believe_the_same_one_wins(catalog: Catalog) -> None:
    with catalog.writing() as session:
        for seed in range(ROUNDS):
            bases.add_version(session, made(seed).manifest, "team", "tiny", by="ci", now=NOW)

    def move(version: int, expected: int | None) -> Callable[[], object]:
        def act() -> object:
            with catalog.writing() as session:
                return aliases.move(
                    session, "team", "tiny", "prod", version=version, expected=expected,
                    by="ci", now=NOW,
                ).version  # fmt: skip

        return act

    expected: int | None = None
    for version in range(1, ROUNDS + 1):
        outcomes = at_once([move(version, expected)] * WRITERS)
        assert kinds(outcomes) == {int: 1, PreconditionFailed: WRITERS - 1}
        expected = version


def test_a_version_is_deleted_or_named_but_never_both(catalog: Catalog) -> None:
    from sparsegrad_server.catalog import versions

    for number in range(ROUNDS):
        name = f"tiny-{number}"
        with catalog.writing() as session:
            bases.add_version(session, made(0).manifest, "team", name, by="ci", now=NOW)

        def delete(name: str = name) -> None:
            with catalog.writing() as session:
                versions.delete(session, versions.held(session, "team", name, 1), NOW)

        def move(name: str = name) -> None:
            with catalog.writing() as session:
                aliases.move(
                    session, "team", name, "prod", version=1, expected=None, by="ci", now=NOW
                )

        deleted, moved = at_once([delete, move])
        assert (deleted is None) != (moved is None)
        assert deleted is None or isinstance(deleted, VersionInUse)

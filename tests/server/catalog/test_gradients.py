"""Slots: reserved by one upload at a time, stored for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from support.catalogs import empty
from support.gradient_stores import group_spec, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations, gradients, namespaces
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_server.ingest.finish import finish
from sparsegrad_shared.errors import Conflict, QuotaExceeded, SlotBusy, SlotTaken

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = timedelta(seconds=10)
SLOT = Slot("cal", "up", 0)


def arrival(digest: str) -> Arrival:
    return Arrival(digest, "dense", zero=False, bytes=100, count=1, zero_count=0)


@pytest.fixture
def session(catalog: Catalog) -> Iterator[Session]:
    with catalog.writing() as session:
        calibrations.add(session, "cal", manifest_of(group_spec()), "ci", NOW)
        yield session


def reserve(session: Session, digest: str, upload: str, now: datetime = NOW) -> bool:
    return gradients.reserve(session, SLOT, arrival(digest), upload, now, HOLD)


def test_a_reserved_slot_is_busy_until_its_time_is_over(session: Session) -> None:
    assert reserve(session, "a", "first")
    with pytest.raises(SlotBusy) as busy:
        reserve(session, "b", "second", NOW + HOLD - timedelta(seconds=1))
    assert busy.value.retry_after
    assert reserve(session, "b", "second", NOW + HOLD)


def test_an_upload_whose_slot_was_taken_over_can_change_nothing(session: Session) -> None:
    reserve(session, "a", "first")
    reserve(session, "b", "second", NOW + HOLD)
    with pytest.raises(SlotBusy, match="took over"):
        gradients.held(session, SLOT, "first")
    gradients.release(session, SLOT, "first")
    assert gradients.held(session, SLOT, "second").digest == "b"


def test_a_slow_upload_that_nobody_took_over_may_end(session: Session) -> None:
    reserve(session, "a", "first")
    assert gradients.held(session, SLOT, "first").digest == "a"


def test_what_is_stored_is_taken_for_good(session: Session) -> None:
    reserve(session, "a", "first")
    gradients.held(session, SLOT, "first").state = "stored"
    later = NOW + timedelta(days=1)
    assert not reserve(session, "a", "second", later)
    with pytest.raises(SlotTaken, match="never replaced"):
        reserve(session, "b", "second", later)
    gradients.release(session, SLOT, "first")
    assert [row.digest for row in gradients.stored(session, "cal", "up")] == ["a"]


def test_no_header_is_read_to_tell_what_has_arrived_or_to_finish(session: Session) -> None:
    """A client may make each 64 KiB long, and there may be a hundred thousand of them."""
    for index in range(3):
        slot = Slot("cal", "up", index)
        header = replace(arrival("a"), header="{}" + 1000 * " ", zero=index == 1)
        gradients.reserve(session, slot, header, "first", NOW, HOLD)
        gradients.held(session, slot, "first").state = "stored"
    session.flush()
    session.expunge_all()
    said: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *args: said.append(args[2]))
    calibration = calibrations.get(session, "cal")
    (group,) = calibrations.status(session, calibration).groups
    assert (group.arrived, group.zero) == ((0, 1, 2), 1)
    finish(session, calibration)
    rows = gradients.stored(session, "cal", "up")
    assert [row.index for row in rows] == [0, 1, 2]
    assert [statement for statement in said if "header" in statement] == []
    with pytest.raises(InvalidRequestError):
        _ = rows[0].header


@pytest.mark.parametrize(
    ("index", "zero_count", "fits"), [(0, 0, True), (0, 1, False), (4, 0, False)]
)
def test_only_a_gradient_that_is_not_zero_and_not_held_out_can_be_fitted(
    session: Session, index: int, zero_count: int, fits: bool
) -> None:
    group = group_spec().model_copy(update={"gradients": 4, "held_out": 2})
    slot = Slot("cal", "up", index)
    gradients.reserve(session, slot, replace(arrival("a"), zero_count=zero_count), "a", NOW, HOLD)
    assert not gradients.can_be_fitted(session, "cal", group)  # it is being written
    gradients.held(session, slot, "a").state = "stored"
    session.flush()
    assert gradients.can_be_fitted(session, "cal", group) == fits
    other = group.model_copy(update={"name": "down"})
    assert not gradients.can_be_fitted(session, "cal", other)


def test_what_is_being_written_counts_against_the_quota(session: Session) -> None:
    reserve(session, "a", "first")
    namespaces.check_quota(session, "team", 100, 200)
    with pytest.raises(QuotaExceeded, match="it has 100"):
        namespaces.check_quota(session, "team", 101, 200)
    namespaces.check_quota(session, "rivals", 200, 200)


def test_what_is_given_back_counts_no_more(session: Session) -> None:
    reserve(session, "a", "first")
    reserve(session, "b", "second", NOW + HOLD)
    assert namespaces.bytes_held(session, "team") == 100
    gradients.release(session, SLOT, "second")
    assert namespaces.bytes_held(session, "team") == 0


class Slots(RuleBasedStateMachine):
    """Uploads that reserve, store, fail or die, against a model of who holds what."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        empty(catalog)
        self._context = catalog.writing()
        self.session = self._context.__enter__()
        calibrations.add(self.session, "cal", manifest_of(group_spec()), "ci", NOW)
        self.now = NOW
        self.holder: str | None = None
        self.until = NOW
        self.stored: str | None = None

    @rule(seconds=st.integers(0, 12))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(upload=st.sampled_from("ABC"))
    def reserve(self, upload: str) -> None:
        free = self.stored is None and (self.holder is None or self.until <= self.now)
        try:
            reserved = reserve(self.session, f"of {upload}", upload, self.now)
        except Conflict:
            assert not free
            assert self.stored != f"of {upload}"
            return
        assert reserved == free
        if reserved:
            self.holder, self.until = upload, self.now + HOLD

    @rule(upload=st.sampled_from("ABC"))
    def store(self, upload: str) -> None:
        holds = self.stored is None and self.holder == upload
        try:
            gradients.held(self.session, SLOT, upload).state = "stored"
        except SlotBusy:
            assert not holds
            return
        assert holds
        self.stored = f"of {upload}"

    @rule(upload=st.sampled_from("ABC"))
    def fail(self, upload: str) -> None:
        gradients.release(self.session, SLOT, upload)
        self.session.flush()
        if self.stored is None and self.holder == upload:
            self.holder = None

    @invariant()
    def what_is_stored_never_changes(self) -> None:
        self.session.flush()
        digests = [row.digest for row in gradients.stored(self.session, "cal", "up")]
        assert digests == ([] if self.stored is None else [self.stored])

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)


def test_slots_are_held_by_whom_the_model_says(catalog: Catalog) -> None:
    run_state_machine_as_test(
        lambda: Slots(catalog),
        settings=settings(max_examples=40, stateful_step_count=20),
    )

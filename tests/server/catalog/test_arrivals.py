"""What the database counts of arrivals against a count by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.catalogs import empty
from support.workbench import group_of, manifest_of

from sparsegrad_server.catalog import Catalog, calibrations, gradients
from sparsegrad_server.catalog.arrivals import Arrivals, count_arrivals, totals
from sparsegrad_server.catalog.gradients import Arrival, Slot
from sparsegrad_shared.calibrations import GroupSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAME = (group_of("a", gradients=3, held_out=2), group_of("b", gradients=3, held_out=1))
APART = (group_of("a", gradients=3, held_out=2), group_of("b", gradients=1, held_out=3))

# What came: a group, a slot, its size, whether it is zero, whether it is stored by now.
CAME = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)),
    st.tuples(st.integers(1, 1 << 40), st.booleans(), st.booleans()),
)
Came = dict[tuple[str, int], tuple[int, bool, bool]]


def put(catalog: Catalog, calibration: str, groups: Sequence[GroupSpec], came: Came) -> None:
    with catalog.writing() as session:
        calibrations.add(session, calibration, manifest_of(groups), "tests", NOW)
        for (group, index), (size, zero, stored) in came.items():
            slot = Slot(calibration, group, index)
            arrival = Arrival(
                digest="sha256:0",
                form="dense",
                zero=zero,
                bytes=size,
                count=1,
                zero_count=int(zero),
                header="{}",
            )
            gradients.reserve(session, slot, arrival, "upload", NOW, timedelta(seconds=9))
            if stored:
                gradients.held(session, slot, "upload").state = "stored"


def by_hand(group: GroupSpec, came: Came) -> Arrivals:
    stored = {
        index: (size, zero)
        for (name, index), (size, zero, stored) in came.items()
        if name == group.name and stored
    }
    fitted = sum(index < group.gradients for index in stored)
    return Arrivals(
        name=group.name,
        fitted=fitted,
        fitted_expected=group.gradients,
        held_out=len(stored) - fitted,
        held_out_expected=group.held_out,
        bytes=sum(size for size, _ in stored.values()),
        zero=sum(zero for _, zero in stored.values()),
    )


@given(came=CAME, groups=st.sampled_from([SAME, APART]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_group_has_what_is_stored_of_it(
    catalog: Catalog, came: Came, groups: tuple[GroupSpec, ...]
) -> None:
    empty(catalog)
    put(catalog, "cal-1", groups, came)
    put(catalog, "cal-2", groups, {("a", 0): (7, False, True)})
    expected = tuple(by_hand(group, came) for group in groups)
    with catalog.reading() as session:
        assert count_arrivals(session, "cal-1", groups) == expected
        held = totals(session, ["cal-1", "cal-2", "cal-3"])
    assert held.pop("cal-2") == (1, 7)
    stored, size = sum(each.stored for each in expected), sum(each.bytes for each in expected)
    assert held == ({"cal-1": (stored, size)} if stored else {})

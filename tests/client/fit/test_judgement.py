"""When samples say that a basis no longer fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_client.fit import Energy
from sparsegrad_client.fit.judgement import ADVANTAGE, SAMPLES, GroupFitness

SHARES = st.floats(0.01, 1)
GOOD, BAD = (0.8, 0.5), (0.3, 0.5)  # in the basis, and without one


def _samples(*shares: tuple[float, float]) -> list[Energy]:
    return [Energy(top, original, 1.0, 1.0) for top, original in shares]


def _judged(calibration: float | None, *shares: tuple[float, float]) -> GroupFitness:
    group = GroupFitness("up", 0.01, calibration)
    for step, sample in enumerate(_samples(*shares), start=1):
        group.add(step, sample)
    return group


def test_a_misfit_is_found_by_the_sample_that_makes_it_the_rule() -> None:
    group = GroupFitness("up", 0.01, 0.7)
    found = [
        group.add(step, sample)
        for step, sample in enumerate(_samples(*[GOOD] * 5, *[BAD] * 5), start=1)
    ]
    assert [misfit is not None for misfit in found] == [False] * 7 + [True] + [False] * 2
    assert group.misfit is found[7]
    assert group.misfit is not None
    assert (group.misfit.step, group.misfit.energy, group.misfit.original) == (8, 0.3, 0.5)
    said = str(group.misfit)
    assert said == (
        "group 'up': the largest 1.00% of the entries hold 30.0% of the gradients' energy in the "
        "basis, 50.0% without one, 70.0% when it was calibrated"
    )


@given(st.lists(st.tuples(SHARES, SHARES), max_size=SAMPLES // 2), st.randoms())
def test_a_few_odd_batches_say_nothing(odd: list[tuple[float, float]], random: object) -> None:
    shares = [*odd, *[GOOD] * (SAMPLES - len(odd))]
    random.shuffle(shares)  # type: ignore[attr-defined]
    assert _judged(0.9, *shares).misfit is None


@given(st.lists(st.tuples(SHARES, SHARES), max_size=SAMPLES - 1))
def test_too_few_samples_say_nothing(shares: list[tuple[float, float]]) -> None:
    assert _judged(1.0, *shares).misfit is None


@pytest.mark.parametrize(
    ("calibration", "shares", "is_misfit"),
    [
        (0.7, (0.3, 0.5), True),
        (None, (0.3, 0.5), False),  # not known how good it was
        (0.2, (0.3, 0.5), False),  # as good as it ever was
        (0.7, (0.3, 0.2), False),  # better than no basis
        (0.7, (ADVANTAGE * 0.5, 0.5), False),
        (0.7, (ADVANTAGE * 0.5 - 1e-9, 0.5), True),
    ],
)
def test_both_conditions_are_needed(
    calibration: float | None, shares: tuple[float, float], is_misfit: bool
) -> None:
    assert (_judged(calibration, *[shares] * SAMPLES).misfit is not None) == is_misfit

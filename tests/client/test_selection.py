"""Selection of the largest entries, against a plain sort and the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sparsegrad_client.selection import largest_entries, largest_entries_reference
from sparsegrad_shared.errors import InvalidInput, NonFiniteGradient

SELECTORS = [largest_entries, largest_entries_reference]
values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -2.5, 3.0])


@pytest.mark.parametrize("select", SELECTORS)
@given(st.lists(values, min_size=1, max_size=40), st.integers(1, 45))
@example([0.0], 1)
def test_the_largest_are_chosen_and_of_equal_ones_the_first(
    select: Callable[..., torch.Tensor], entries: list[float], k: int
) -> None:
    order = sorted(range(len(entries)), key=lambda index: (-abs(entries[index]), index))
    expected = sorted(index for index in order[:k] if entries[index] != 0)
    assert select(torch.tensor([entries], dtype=torch.float64), k).tolist() == expected


def _columns_that_decay(generator: torch.Generator) -> torch.Tensor:
    # As in a basis of the HOSVD: most of the energy is in a few rows and columns.
    rows = torch.linspace(0, 8, 700).neg().exp()[:, None]
    columns = torch.linspace(0, 12, 600).neg().exp()[None]
    return torch.randn(700, 600, generator=generator) * rows * columns


LARGE = {
    "normal": lambda g: torch.randn(700, 600, generator=g),
    "decaying": _columns_that_decay,
    "ties": lambda g: torch.randint(-3, 4, (700, 600), generator=g).float(),
    "one entry": lambda g: torch.zeros(700, 600).index_put(
        (torch.tensor(3), torch.tensor(4)), torch.tensor(-2.0)
    ),
    "zeros": lambda g: torch.zeros(700, 600),
    "few": lambda g: (
        torch.randn(700, 600, generator=g) * (torch.rand(700, 600, generator=g) < 1e-3)
    ),
    "overflowing sum": lambda g: (
        torch.full((700, 600), 3e38) + torch.randn(700, 600, generator=g) * 1e36
    ),
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("k", [1, 100, 4200, 50_000, 200_000, 420_000, 10**6])
def test_the_fast_path_chooses_what_the_reference_does(kind: str, k: int) -> None:
    gradient = LARGE[kind](torch.Generator().manual_seed(k))
    assert torch.equal(largest_entries(gradient, k), largest_entries_reference(gradient, k))


def test_a_sample_that_misleads_costs_time_only() -> None:
    # Large entries just where the sample looks: the guessed threshold is far too high.
    size, sample = 1 << 19, 1 << 16
    places = torch.randint(size, (sample,), generator=torch.Generator().manual_seed(0))
    gradient = torch.rand(size, generator=torch.Generator().manual_seed(1))
    gradient[places.unique()[:9000]] += 10
    gradient = gradient.view(1024, 512)
    for k in (5000, 9001, 20_000):
        assert torch.equal(largest_entries(gradient, k), largest_entries_reference(gradient, k))


@pytest.mark.parametrize("select", SELECTORS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", [(3, 4), (700, 600)])
def test_a_gradient_that_is_not_finite_is_refused_by_name(
    select: Callable[..., torch.Tensor], bad: float, shape: tuple[int, int]
) -> None:
    gradient = torch.zeros(shape)
    gradient[1, 2] = bad
    with pytest.raises(NonFiniteGradient, match=r"layer\.3: 1 of \d+ entries are NaN or infinite"):
        select(gradient, 2, name="layer.3")


@pytest.mark.parametrize("select", SELECTORS)
def test_keeping_nothing_is_refused(select: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(InvalidInput, match="at least 1 entry"):
        select(torch.ones(2, 2), 0)


def test_selection_leaves_the_random_stream_alone() -> None:
    before = torch.get_rng_state()
    largest_entries(torch.ones(700, 600), 10)
    assert torch.equal(before, torch.get_rng_state())

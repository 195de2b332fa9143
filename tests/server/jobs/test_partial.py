"""Partial sums on disk: taken up bit for bit, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.workbench import Workbench, decaying, group_of, manifest_of

from sparsegrad_server.catalog import gradients
from sparsegrad_server.catalog.tables import GradientRow
from sparsegrad_server.hosvd import GramMatrices
from sparsegrad_server.jobs.partial import PartialSum, PartialSums
from sparsegrad_server.store.files import Staging

GROUP = group_of()


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def sums(tmp_path: Path, warnings: list[str]) -> PartialSums:
    return PartialSums(tmp_path / "sums", Staging(tmp_path / "staging"), warnings.append)


@pytest.fixture
def rows(bench: Workbench) -> list[GradientRow]:
    calibration = bench.open(manifest_of([GROUP]))
    bench.store_all(calibration, GROUP)
    with bench.catalog.reading() as session:
        return gradients.stored(session, calibration, GROUP.name)


def summed(count: int) -> PartialSum:
    gram = GramMatrices(GROUP.d_out, GROUP.d_in, normalize="frobenius")
    for seed in range(count):
        gram.add_dense(decaying(seed)["G"])
    return PartialSum(gram, count)


def test_what_was_kept_comes_back_bit_for_bit(sums: PartialSums, rows: list[GradientRow]) -> None:
    kept = summed(3)
    sums.save("up", rows, kept)
    found = sums.load("up", rows)
    assert found is not None
    assert sums.gradients("up") == found.gradients == 3
    expected, arrays = kept.gram.to_arrays(), found.gram.to_arrays()
    assert expected.keys() == arrays.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_only_the_furthest_is_kept(
    sums: PartialSums, rows: list[GradientRow], tmp_path: Path
) -> None:
    for count in (2, 3, 5):
        sums.save("up", rows, summed(count))
    assert [path.name.split("-")[0] for path in (tmp_path / "sums" / "up").iterdir()] == ["5"]
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_file_is_passed_over_and_said_to_be(
    sums: PartialSums, rows: list[GradientRow], tmp_path: Path, damage: str, warnings: list[str]
) -> None:
    sums.save("up", rows, summed(3))
    (path,) = (tmp_path / "sums" / "up").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flipped": content, "cut": content[:-9], "emptied": b""}[damage])
    assert sums.load("up", rows) is None
    (warning,) = warnings
    assert warning.startswith("a partial sum of up is passed over, and summed anew: ")
    assert str(tmp_path) not in warning


def test_a_sum_of_other_gradients_is_passed_over(
    sums: PartialSums, rows: list[GradientRow]
) -> None:
    sums.save("up", rows, summed(3))
    assert sums.load("up", rows[1:]) is None
    assert sums.load("up", rows[:2]) is None
    assert sums.load("other", rows) is None

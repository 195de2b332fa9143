"""What a calibration will take."""

from __future__ import annotations

from typing import Any

import pytest

from sparsegrad_server.hosvd import Rates, estimate_calibration
from sparsegrad_shared.calibrations import GroupSpec, HosvdOptions


def group(**changes: Any) -> GroupSpec:
    values = {
        "name": "up",
        "layers": ("layer.0",),
        "d_out": 3072,
        "d_in": 768,
        "dtype": "float32",
        "gradients": 30,
    }
    return GroupSpec(**(values | changes))


def test_disk_holds_the_gradients_the_sums_and_the_basis() -> None:
    found = estimate_calibration([group()], HosvdOptions())
    gradients = 30 * 3072 * 768 * 4
    sums, basis = 8 * (3072**2 + 768**2), 4 * (3072**2 + 768**2) + 8 * (3072 + 768)
    assert found.disk_bytes == gradients + sums + basis


def test_memory_does_not_grow_with_the_gradients_but_disk_and_time_do() -> None:
    few, many = (estimate_calibration([group(gradients=n)], HosvdOptions()) for n in (30, 300))
    assert many.memory_bytes == few.memory_bytes
    assert many.disk_bytes > few.disk_bytes
    assert many.seconds > few.seconds


def test_groups_add_in_disk_and_time_and_share_the_memory() -> None:
    one = estimate_calibration([group()], HosvdOptions())
    two = estimate_calibration([group(), group(name="down")], HosvdOptions())
    assert two.disk_bytes == 2 * one.disk_bytes
    assert two.memory_bytes == one.memory_bytes
    assert two.seconds == pytest.approx(2 * one.seconds)


def test_a_truncated_basis_takes_less_and_a_faster_machine_is_faster() -> None:
    full = estimate_calibration([group()], HosvdOptions())
    cut = estimate_calibration([group()], HosvdOptions(rank=64))
    assert cut.disk_bytes < full.disk_bytes
    assert cut.seconds < full.seconds
    fast = estimate_calibration([group()], HosvdOptions(), Rates(product=4e11, eigen=1.6e11))
    assert fast.seconds == pytest.approx(full.seconds / 2)


def test_a_rank_far_below_the_size_takes_little_memory_beside_the_sums() -> None:
    large = group(d_out=8192, d_in=28672)
    sums = 8 * (8192**2 + 28672**2)
    full = estimate_calibration([large], HosvdOptions()).memory_bytes
    cut = estimate_calibration([large], HosvdOptions(rank=256)).memory_bytes
    assert full > 3 * sums
    assert sums < cut < 1.5 * sums

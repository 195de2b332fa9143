"""The contract of a gradient store, as tests that every backend passes.

A backend's test module subclasses `GradientStoreContract` and gives it a `store` fixture.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsegrad_server.store.gradients import NUMPY_TYPES, GradientStore, Tensors
from sparsegrad_shared.calibrations import (
    FORM_TENSORS,
    CalibrationManifest,
    DatasetSource,
    GradientForm,
    GroupSpec,
    ModelSource,
)
from sparsegrad_shared.errors import CorruptFile
from sparsegrad_shared.framing import DTYPES, DType

SLOTS = 5


def group_spec(d_out: int = 6, d_in: int = 4, dtype: DType = "float32") -> GroupSpec:
    return GroupSpec(name="up", layers=("a",), d_out=d_out, d_in=d_in, dtype=dtype, gradients=SLOTS)


def manifest_of(*groups: GroupSpec) -> CalibrationManifest:
    return CalibrationManifest(
        name="team/tiny",
        model=ModelSource(id="tiny", architecture="Tiny"),
        dataset=DatasetSource(id="data", fingerprint="1"),
        groups=groups,
    )


def any_bits(shape: tuple[int, ...], dtype: DType) -> st.SearchStrategy[np.ndarray]:
    """Arrays of whatever bits: -0.0, subnormal numbers, NaN with payloads."""
    numpy_type = NUMPY_TYPES[dtype]
    unsigned = np.dtype(f"u{numpy_type.itemsize}")
    return arrays(unsigned, shape).map(lambda bits: bits.view(numpy_type))


@st.composite
def gradients(draw: Callable[..., Any]) -> tuple[GroupSpec, GradientForm, dict[str, np.ndarray]]:
    """A group, and a gradient of it in any form and data type."""
    form: GradientForm = draw(st.sampled_from(tuple(FORM_TENSORS)))
    dtype: DType = draw(st.sampled_from(DTYPES))
    d_out, d_in, tokens = (draw(st.integers(1, 6)) for _ in range(3))
    group = group_spec(d_out, d_in, dtype)
    shapes = {
        "G": (d_out, d_in),
        "g": (tokens, d_out),
        "x": (tokens, d_in),
        "A_in": (d_in, d_in),
        "A_out": (d_out, d_out),
    }
    sent: DType = draw(st.sampled_from(("float32", "float64"))) if form == "sums" else dtype
    tensors = {name: draw(any_bits(shapes[name], sent)) for name in FORM_TENSORS[form]}
    return group, form, tensors


def assert_same_bits(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


class GradientStoreContract:
    """What every backend does."""

    @pytest.fixture
    def store(self) -> GradientStore:
        """The backend under test."""
        raise NotImplementedError

    @settings(
        max_examples=60,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(gradient=gradients(), index=st.integers(0, SLOTS - 1))
    def test_what_is_written_is_read_bit_for_bit(
        self,
        store: GradientStore,
        gradient: tuple[GroupSpec, GradientForm, dict[str, np.ndarray]],
        index: int,
    ) -> None:
        group, form, tensors = gradient
        calibration = f"cal-{uuid.uuid4().hex}"  # an example may be run again
        store.create(calibration, manifest_of(group))
        store.write(calibration, group, index, tensors)
        assert_same_bits(store.read(calibration, group, index, form), tensors)

    def test_slots_do_not_touch_one_another(self, store: GradientStore) -> None:
        group = group_spec()
        store.create("cal", manifest_of(group))
        written = [{"G": np.full((6, 4), index, np.float32)} for index in range(SLOTS)]
        for index in (3, 0, 4, 1, 2):
            store.write("cal", group, index, written[index])
        for index, tensors in enumerate(written):
            assert_same_bits(store.read("cal", group, index, "dense"), tensors)

    @pytest.mark.parametrize("form", ["dense", "factored", "sums"])
    def test_a_gradient_that_is_not_there_is_not_zeros(
        self, store: GradientStore, form: GradientForm
    ) -> None:
        group = group_spec()
        store.create("cal", manifest_of(group))
        with pytest.raises(CorruptFile, match=r"gradient up/2.*missing"):
            store.read("cal", group, 2, form)

    @pytest.mark.parametrize(
        "tensors",
        [
            {"G": np.ones((6, 4), np.float32)},
            {"g": np.ones((3, 6), np.float32), "x": np.ones((3, 4), np.float32)},
        ],
    )
    def test_what_a_dead_upload_left_is_replaced(
        self, store: GradientStore, tensors: dict[str, np.ndarray]
    ) -> None:
        group = group_spec()
        store.create("cal", manifest_of(group))
        store.write("cal", group, 1, tensors)
        again = {name: 2 * array for name, array in tensors.items()}
        store.write("cal", group, 1, again)
        form: GradientForm = "dense" if "G" in tensors else "factored"
        assert_same_bits(store.read("cal", group, 1, form), again)

    def test_what_was_not_placed_is_not_there(self, store: GradientStore) -> None:
        group = group_spec()
        store.create("cal", manifest_of(group))
        with store.stage("cal", group, 0, {"G": np.ones((6, 4), np.float32)}):
            pass
        with pytest.raises(CorruptFile):
            store.read("cal", group, 0, "dense")

    def test_what_is_deleted_is_gone_and_nothing_else(self, store: GradientStore) -> None:
        group = group_spec(dtype="bfloat16")
        tensors = {"G": np.ones((6, 4), ml_dtypes.bfloat16)}
        for calibration in ("one", "two"):
            store.create(calibration, manifest_of(group))
            store.write(calibration, group, 0, tensors)
        store.delete("one")
        store.delete("one")
        with pytest.raises(CorruptFile):
            store.read("one", group, 0, "dense")
        assert_same_bits(store.read("two", group, 0, "dense"), tensors)

    def test_what_lies_in_the_slots_is_listed_and_discarded_form_by_form(
        self, store: GradientStore
    ) -> None:
        group = group_spec()
        store.create("cal", manifest_of(group))
        dense = {"G": np.ones((6, 4), np.float32)}
        store.write("cal", group, 0, dense)
        store.write("cal", group, 2, dense)
        store.write(
            "cal", group, 2, {"g": np.ones((3, 6), np.float32), "x": np.ones((3, 4), np.float32)}
        )
        held = list(store.holdings("cal"))
        slots = {("up", 0, "dense"), ("up", 2, "dense"), ("up", 2, "factored")}
        assert {(found.group, found.index, found.form) for found in held} == slots
        assert all(found.bytes > 0 for found in held)
        store.discard("cal", "up", 2, "factored")
        store.discard("cal", "up", 2, "factored")
        store.discard("cal", "up", 0, "dense")
        assert [(found.index, found.form) for found in store.holdings("cal")] == [(2, "dense")]
        assert_same_bits(store.read("cal", group, 2, "dense"), dense)

    def test_a_calibration_takes_up_what_was_written_last_and_when(
        self, store: GradientStore
    ) -> None:
        group = group_spec()
        began = datetime.now(UTC) - timedelta(seconds=2)  # clocks of file systems are coarse
        store.create("cal", manifest_of(group))
        before = store.footprint("cal")
        store.write("cal", group, 0, {"G": np.ones((6, 4), np.float32)})
        after = store.footprint("cal")
        assert before.bytes < after.bytes
        assert began <= before.changed <= after.changed <= datetime.now(UTC) + timedelta(seconds=2)

"""A good body is read as what it is, in every form and data type."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from support.gradient_stores import assert_same_bits, gradients, group_spec
from support.gradients import frame

from sparsegrad_server.ingest.check import check_gradient
from sparsegrad_shared.calibrations import GradientForm, GroupSpec
from sparsegrad_shared.errors import NonFiniteGradient, SparseGradError


def body_of(tensors: dict[str, np.ndarray], **metadata: str) -> memoryview:
    return memoryview(b"".join(frame(tensors, **metadata)))


@given(gradients().filter(lambda drawn: drawn[1] != "sums"))
def test_what_is_finite_is_read_bit_for_bit_and_nothing_else_is_taken(
    drawn: tuple[GroupSpec, GradientForm, dict[str, np.ndarray]],
) -> None:
    group, form, tensors = drawn
    wide = {name: array.astype(np.float64) for name, array in tensors.items()}
    if not all(np.isfinite(array).all() for array in wide.values()):
        with pytest.raises(NonFiniteGradient, match="gradient up/0"):
            check_gradient(body_of(tensors), group, 0, "none")
        return
    checked = check_gradient(body_of(tensors), group, 0, "none")
    zero = any((array == 0).all() for array in wide.values())
    assert (checked.form, checked.zero) == (form, zero)
    assert (checked.count, checked.zero_count) == (1, int(zero))
    assert_same_bits(checked.tensors, tensors)


@given(st.binary(max_size=200))
def test_any_bytes_at_all_give_a_named_error(body: bytes) -> None:
    with pytest.raises(SparseGradError, match="gradient up/0"):
        check_gradient(memoryview(body), group_spec(), 0, "none")


def test_what_the_safetensors_library_writes_is_taken() -> None:
    G = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    body = memoryview(safetensors.numpy.save({"G": G}, metadata={"step": "1"}))
    assert_same_bits(check_gradient(body, group_spec(), 0, "none").tensors, {"G": G})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zeros", [0, 2])
def test_sums_carry_their_counts(dtype: type[np.floating], zeros: int) -> None:
    G = np.random.default_rng(0).standard_normal((3, 6, 4))
    sums = {"A_in": np.einsum("noi,noj->ij", G, G), "A_out": np.einsum("noi,npi->op", G, G)}
    sums = {name: matrix.astype(dtype) for name, matrix in sums.items()}
    body = body_of(sums, count=str(3 + zeros), zero_count=str(zeros))
    checked = check_gradient(body, group_spec(dtype="bfloat16"), 0, "none")
    assert (checked.form, checked.count, checked.zero_count) == ("sums", 3 + zeros, zeros)
    assert not checked.zero
    assert_same_bits(checked.tensors, sums)


def test_sums_of_gradients_that_were_not_normalised_are_refused_where_they_should_be() -> None:
    sums = {"A_in": 2 * np.eye(4), "A_out": 8 / 6 * np.eye(6)}
    with pytest.raises(SparseGradError, match="normalise"):
        check_gradient(body_of(sums, count="1"), group_spec(), 0, "frobenius")
    assert check_gradient(body_of(sums, count="8"), group_spec(), 0, "frobenius").count == 8

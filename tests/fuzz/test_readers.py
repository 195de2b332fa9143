"""Whoever reads outside data raises errors of ours alone, soon, and without much memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz.frames import VALID, WRONG, dense_body, joined, parts, sums_body, with_text
from support.fuzz.parsers import GROUP, READERS

from sparsegrad_server.ingest.check import check_gradient
from sparsegrad_shared.aliases import AliasTarget
from sparsegrad_shared.calibrations import DatasetSource
from sparsegrad_shared.errors import InvalidInput, InvalidTensor, SparseGradError, TruncatedBody
from sparsegrad_shared.framing import MAX_HEADER_BYTES, parse_header
from sparsegrad_shared.tokens import TokenRequest

SEEDS = st.integers(min_value=0, max_value=2**64)
HEADER_MEMORY = 16 << 20  # bytes; the largest header is 64 KB


@pytest.mark.parametrize("name", READERS)
@given(seed=SEEDS)
def test_only_our_errors_come_out_and_each_can_be_sent(name: str, seed: int) -> None:
    try:
        READERS[name](random.Random(seed))
    except SparseGradError as error:
        error.to_problem().model_dump_json()


@pytest.mark.parametrize("name", VALID)
@given(seed=SEEDS)
def test_what_the_mutations_start_from_is_a_gradient(name: str, seed: int) -> None:
    check_gradient(memoryview(VALID[name](random.Random(seed))), GROUP, 0, "none")


@pytest.mark.parametrize("name", ["truncated", "trailing"])
@given(seed=SEEDS)
def test_a_body_cut_short_or_longer_than_its_frame_is_refused(name: str, seed: int) -> None:
    with pytest.raises((TruncatedBody, InvalidTensor)):
        check_gradient(memoryview(WRONG[name](random.Random(seed))), GROUP, 0, "none")


@given(
    shape=st.lists(st.integers(min_value=-(10**4200), max_value=10**4200), max_size=20),
    offsets=st.lists(st.integers(min_value=-(10**4200), max_value=10**4200), max_size=3),
)
def test_numbers_of_any_size_are_refused(shape: list[int], offsets: list[int]) -> None:
    entry: dict[str, Any] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    text = json.dumps({"G": entry})
    if len(text) > MAX_HEADER_BYTES:
        return
    with pytest.raises(InvalidTensor):
        check_gradient(memoryview(with_text(text.encode())), GROUP, 0, "none")


@pytest.mark.parametrize(
    "count", ["9" * 20, "9" * 4000, "9" * 5000, "-1", "1_0", "\u0661", " 1", ""]
)
def test_a_count_that_no_calibration_has_is_refused(count: str) -> None:
    with pytest.raises(InvalidInput, match="count"):
        check_gradient(memoryview(sums_body(random.Random(1), count=count)), GROUP, 0, "none")


def test_half_a_surrogate_pair_can_be_answered() -> None:
    header, data = parts(dense_body(random.Random(1)))
    with pytest.raises(InvalidTensor) as caught:
        check_gradient(memoryview(joined({"\ud800": header["G"]}, data)), GROUP, 0, "none")
    assert r"\ud800" in json.loads(caught.value.to_problem().model_dump_json())["detail"]


@pytest.mark.parametrize(
    "header",
    [
        {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(1000)},
        {"__metadata__": {str(i): "" for i in range(5000)}},
        {"G": {"dtype": "F32", "shape": [1] * 20_000, "data_offsets": [0, 4]}},
        {"G": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 2**62]}},
    ],
    ids=["many tensors", "many texts", "many axes", "a large tensor"],
)
def test_a_header_takes_little_memory_whatever_it_says(header: dict[str, Any]) -> None:
    body = joined(header, b"")
    assert len(body) <= MAX_HEADER_BYTES + 8
    tracemalloc.start()
    try:
        parse_header(body)
    except InvalidTensor:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < HEADER_MEMORY


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_utc_cannot_say_is_refused(time: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 9999"):
        TokenRequest.model_validate({"name": "x", "namespace": "team", "expires": time})


def test_texts_that_a_database_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="pattern"):
        DatasetSource(id="a\x00b", fingerprint="1")
    with pytest.raises(ValueError, match="pattern"):
        TokenRequest(name="a\x00b", namespace="team")


def test_versions_are_bounded() -> None:
    with pytest.raises(ValueError, match="less than or equal"):
        AliasTarget(version=10**30)

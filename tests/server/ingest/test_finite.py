"""Bits tell what NumPy's own functions tell, in every data type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gradient_stores import any_bits

from sparsegrad_server.ingest import finite
from sparsegrad_shared.framing import DTYPES, DType


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_bits_agree_with_numpy(dtype: DType, data: st.DataObject) -> None:
    array = data.draw(any_bits((data.draw(st.integers(1, 30)), 2), dtype))
    wide = array.astype(np.float64)
    found = finite.inspect(array, dtype)
    assert found.nan_or_infinite == np.count_nonzero(~np.isfinite(wide))
    assert found.zero == bool((wide == 0).all())


def test_every_block_is_looked_at() -> None:
    array = np.zeros(2 * finite.BLOCK + 3, np.float16)
    array[[0, finite.BLOCK, -1]] = np.nan
    assert finite.inspect(array, "float16") == finite.Content(nan_or_infinite=3, zero=False)
    array[:] = -0.0
    assert finite.inspect(array, "float16") == finite.Content(nan_or_infinite=0, zero=True)

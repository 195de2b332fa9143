"""How ranks agree."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import calibrating
from support.ranks import Ranks

from sparsegrad_client.calibration.ranks import Ranks as CalibrationRanks


@settings(max_examples=10)
@given(texts=st.lists(st.text(max_size=30), min_size=2, max_size=2))
def test_every_rank_hears_every_text(ranks: Ranks, texts: list[str]) -> None:
    assert ranks.run(calibrating.gathered_texts, texts) == [texts, texts]


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("another seed", "InvalidInput", "differ between the ranks"),
        ("another shape", "InvalidInput", "rank 1 differs from rank 0"),
        ("wrapped", "UnsupportedModel", r"model\.module"),
    ],
)
def test_a_model_that_is_not_whole_and_the_same_everywhere_is_refused(
    ranks: Ranks, kind: str, error: str, says: str
) -> None:
    for told, message in ranks.run(calibrating.refusal_of_models, kind):
        assert told == error
        assert re.search(says, message)


def test_a_process_alone_is_the_first_of_one() -> None:
    alone = CalibrationRanks()
    assert (alone.rank, alone.count, alone.is_first) == (0, 1, True)
    assert alone.gather("text") == ["text"]
    assert alone.first(lambda: "done") == "done"
    assert torch.equal(alone.sum_(torch.ones(2)), torch.ones(2))

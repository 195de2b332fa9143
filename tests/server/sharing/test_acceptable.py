"""What is said of a basis that comes from elsewhere, held to its manifest."""

from __future__ import annotations

import json

import pytest
from support.bases import Shape, made
from support.reports import basis_report, group_report, sampled_matrix

from sparsegrad_server.sharing.acceptable import check_report
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.report import BasisReport, GradientSample, SampledMatrix

SHAPE = Shape("up", d_out=12, d_in=8, rank_out=5, rank_in=4)
MANIFEST = made(1, [SHAPE]).manifest
ORIGINAL, BASIS = sampled_matrix(1, 12, 8), sampled_matrix(2, 5, 4)


def report_with(original: SampledMatrix, basis: SampledMatrix) -> BasisReport:
    sample = GradientSample(original=original, basis=basis)
    return basis_report(group_report().model_copy(update={"sample": sample}))


def test_a_report_with_a_picture_and_one_without_are_taken() -> None:
    check_report(report_with(ORIGINAL, BASIS).model_dump_json().encode(), MANIFEST)
    check_report(basis_report(group_report(sampled=False)).model_dump_json().encode(), MANIFEST)


@pytest.mark.parametrize(
    ("original", "basis", "said"),
    [
        (BASIS, BASIS, "a sample in the original space of 12 x 8, found 5 x 4"),
        (ORIGINAL, ORIGINAL, "a sample in the basis space of 5 x 4, found 12 x 8"),
    ],
)
def test_a_picture_of_another_matrix_is_refused(
    original: SampledMatrix, basis: SampledMatrix, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_report(report_with(original, basis).model_dump_json().encode(), MANIFEST)


def test_a_picture_that_contradicts_itself_is_refused() -> None:
    content = json.loads(report_with(ORIGINAL, BASIS).model_dump_json())
    content["groups"][0]["sample"]["basis"]["levels"] = "AAAA"
    with pytest.raises(InvalidInput, match="has 5 x 4 bins; got 3 levels"):
        check_report(json.dumps(content).encode(), MANIFEST)

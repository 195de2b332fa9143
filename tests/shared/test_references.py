"""References to bases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_shared.errors import InvalidReference
from sparsegrad_shared.references import SEGMENT, BasisReference, parse_name

segments = st.from_regex(SEGMENT, fullmatch=True)
references = st.one_of(
    st.builds(BasisReference, namespace=segments, name=segments),
    st.builds(
        BasisReference, namespace=segments, name=segments, version=st.integers(1, 999_999_999)
    ),
    st.builds(BasisReference, namespace=segments, name=segments, alias=segments),
    st.builds(BasisReference, digest=st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)),
)


@given(references)
def test_a_reference_is_read_back_from_its_text(reference: BasisReference) -> None:
    assert BasisReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "minilm-cola",
        "team/",
        "/minilm",
        "team/minilm@0",
        "team/minilm@03",
        "team/minilm@three",
        "team/minilm@3:prod",
        "team/minilm:",
        "team/../etc",
        "../team/minilm",
        "team/.hidden",
        "team/minilm\n",
        "team/minilm/extra",
        "sha256:" + "0" * 63,
        "sha256:" + "G" * 64,
        "http://host/team/minilm",
    ],
)
def test_a_text_of_another_form_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(InvalidReference, match="team/name@3"):
        BasisReference.parse(text)


def test_contradictory_parts_are_refused() -> None:
    with pytest.raises(InvalidReference, match="not both"):
        BasisReference(namespace="team", name="minilm", version=3, alias="prod")
    with pytest.raises(InvalidReference, match="either a name or a digest"):
        BasisReference(namespace="team", name="minilm", digest="sha256:" + "0" * 64)
    with pytest.raises(InvalidReference, match="either a name or a digest"):
        BasisReference(namespace="team")


def test_a_name_has_neither_version_nor_alias() -> None:
    assert parse_name("team/minilm-cola") == ("team", "minilm-cola")
    for text in ("team/minilm@3", "team/minilm:prod", "sha256:" + "0" * 64):
        with pytest.raises(InvalidReference, match="a name"):
            parse_name(text)

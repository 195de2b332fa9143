"""A name that there is not is answered with the nearest that the caller may see."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.bases import Shape, made

from sparsegrad_server.catalog import Catalog, bases
from sparsegrad_server.catalog.namespaces import EVERY_NAMESPACE
from sparsegrad_shared.errors import UnknownBasis
from sparsegrad_shared.references import BasisReference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = made(1, [Shape("up", d_out=6, d_in=4)]).manifest


@pytest.fixture(autouse=True)
def _published(catalog: Catalog) -> None:
    with catalog.writing() as session:
        for name in ("team/minilm-cola", "team/minilm-sst2", "other/minilm-cola", "team/llama"):
            bases.add_version(session, MANIFEST, *name.split("/"), by="me", now=NOW)
        gone = bases.add_version(session, MANIFEST, "team", "minilm-rte", by="me", now=NOW)
        gone.deleted = NOW


def _said(catalog: Catalog, name: str, namespace: str) -> str:
    with pytest.raises(UnknownBasis) as refusal, catalog.reading() as session:
        bases.resolve(session, BasisReference.parse(name), namespace)
    return refusal.value.message


def test_the_nearest_stands_first_and_what_is_far_or_deleted_is_not_named(
    catalog: Catalog,
) -> None:
    said = _said(catalog, "team/minilm-cla", "team")
    assert said.startswith("no basis is published as team/minilm-cla; did you mean team/minilm-co")
    assert "llama" not in said
    assert "rte" not in said
    assert _said(catalog, "team/x", "team") == (
        "no basis is published as team/x; `sparsegrad-client bases list` shows those that this "
        "token may see"
    )


def test_what_the_caller_may_not_see_is_not_told(catalog: Catalog) -> None:
    assert "other/" not in _said(catalog, "team/minilm-cla", "team")
    assert "other/minilm-cola" in _said(catalog, "othr/minilm-cola", EVERY_NAMESPACE)

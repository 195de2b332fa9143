"""The client's public interface, name by name: a change here is a change for every user."""

from __future__ import annotations

import sparsegrad_client


def test_the_public_names_are_these() -> None:
    assert sorted(sparsegrad_client.__all__) == [
        "Adapter",
        "AsyncBasisService",
        "Basis",
        "BasisFit",
        "BasisMisfit",
        "BasisService",
        "LayerSpec",
        "MaskedAdam",
        "SparseGradConfig",
        "SparseGradLinear",
        "build_optimizer",
        "calibrate",
        "fetch_basis",
        "load_adapter",
        "merge",
        "read_adapter",
        "recalibrate",
        "save_adapter",
        "sparsify",
    ]


def test_every_public_name_is_there_and_documented() -> None:
    for name in sparsegrad_client.__all__:
        assert getattr(sparsegrad_client, name).__doc__, name


def test_dir_lists_the_public_names() -> None:
    assert dir(sparsegrad_client) == sorted(sparsegrad_client.__all__)

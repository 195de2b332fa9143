"""The basis of an adapter: found by name once, and by its digest from then on."""

from __future__ import annotations

from collections.abc import Mapping

from sparsegrad_shared.errors import InvalidInput, SparseGradError

from ...bases import fetch_basis
from ...basis import Basis
from .config import SparseGradPeftConfig


def basis_of(config: SparseGradPeftConfig, held: Mapping[str, Basis]) -> Basis:
    """The basis that a config asks for; the config is told which it is.

    With a digest in the config it is that basis or none, whatever the reference names by now.

    Args:
        config: the config.
        held: bases by digest that need not be fetched.

    Raises:
        InvalidInput: when the config names no basis.
        SparseGradError: what `fetch_basis` raises.
    """
    wanted = config.basis_digest or config.basis
    if wanted is None:
        raise InvalidInput(
            "SparseGradPeftConfig: expected a basis, got none; give the one that was calibrated "
            "on this model, such as basis='team/name@3'"
        )
    basis = held.get(wanted) or _fetch(wanted, config)
    config.basis_digest = basis.digest
    return basis


def _fetch(wanted: str, config: SparseGradPeftConfig) -> Basis:
    try:
        basis = fetch_basis(wanted)
    except SparseGradError as error:
        error.add_note(f"the adapter's basis is {config.basis} ({config.basis_digest})")
        raise
    if basis.reference is not None:
        config.basis = basis.reference  # an alias may move; the version that it named does not
    return basis

"""The bases of adapters: fetched by digest, and one object each in the whole process."""

from __future__ import annotations

import weakref

from sparsegrad_shared.errors import InvalidInput, SparseGradError

from ...bases import fetch_basis
from ...basis import Basis
from .config import SparseGradPeftConfig

# Bases that some model uses at present: adapters and models that share one share its tensors.
_in_use: weakref.WeakValueDictionary[str, Basis] = weakref.WeakValueDictionary()


def basis_of(config: SparseGradPeftConfig) -> Basis:
    """The basis that a config asks for; the config is told which it is.

    With a digest in the config it is that basis or none, whatever the reference names by now.

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
    basis = _in_use.get(wanted)
    if basis is None:
        basis = _fetch(wanted, config)
        basis = _in_use.setdefault(basis.digest, basis)
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

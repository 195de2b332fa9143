"""The mathematics of a calibration: from gradients to a basis. Pure: no I/O, no database.

Tensor layouts, for every module of this package (`method.md`'s notation):

========================  ===================  ==================================================
``G``                     D_out × D_in         a gradient, ∂L/∂W = gᵀ x
``g``, ``x``              T × D_out, T × D_in  its factors: one row a token
``A_in``                  D_in × D_in          Σ GᵀG, float64
``A_out``                 D_out × D_out        Σ GGᵀ, float64
``U``                     D_in × r_in          eigenvectors of A_in, a column each, leading first
``V``                     D_out × r_out        eigenvectors of A_out, likewise
``eigenvalues``           r                    falling, never negative, float64
``G̃``                     r_out × r_in         VᵀGU, the gradient in the basis
========================  ===================  ==================================================

U and V are the factor matrices of the HOSVD of the D_out × D_in × N tensor of all gradients (De
Lathauwer et al. 2000, section 3): its unfoldings' left singular vectors are the Gram matrices'
eigenvectors, and the squares of their singular values the eigenvalues. So each gradient is read
once, and memory does not grow with N. ``reference`` does it the long way, with tensorly.
"""

from .angles import SubspaceDifference, principal_angles, subspace_difference
from .basis import Basis, compute_basis
from .eigen import Eigenpairs, leading_eigenvectors
from .estimate import Rates, estimate_calibration
from .gram import GramMatrices, gradient_from_factors
from .report import HeldOutReport, frozen_support
from .spectrum import spectrum_summary

__all__ = [
    "Basis",
    "Eigenpairs",
    "GramMatrices",
    "HeldOutReport",
    "Rates",
    "SubspaceDifference",
    "compute_basis",
    "estimate_calibration",
    "frozen_support",
    "gradient_from_factors",
    "leading_eigenvectors",
    "principal_angles",
    "spectrum_summary",
    "subspace_difference",
]

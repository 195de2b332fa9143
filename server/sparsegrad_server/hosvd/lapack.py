"""LAPACK's syevd, called so that other Python threads go on meanwhile.

scipy's own wrapper holds the interpreter's lock for as long as LAPACK takes: minutes in which no
heartbeat is sent and no other group is computed. The same routine, from scipy's table for Cython,
called through ctypes, holds no lock.
"""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg import cython_lapack

from .arrays import Float64Array

_ARGUMENTS = 11


def _routine(name: str) -> ctypes._FuncPointer:
    capsule = cython_lapack.__pyx_capi__[name]
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * _ARGUMENTS)
    address: int = pointer_of(capsule, name_of(capsule))
    return prototype(address)


_dsyevd = _routine("dsyevd")


def eigh_in_place(A: Float64Array) -> Float64Array:
    """All eigenvalues and eigenvectors of a symmetric matrix; its lower triangle is read.

    Args:
        A: n × n in Fortran's order, n ≤ 32766; becomes its eigenvectors, a column each.

    Returns:
        The n eigenvalues, rising.

    Raises:
        ValueError: A is not a square float64 matrix in Fortran's order.
        numpy.linalg.LinAlgError: they did not converge.
    """
    n = len(A)
    if A.shape != (n, n) or A.dtype != np.float64 or not A.flags.f_contiguous:
        raise ValueError(f"expected a square float64 matrix, Fortran's order, got {A.shape}")
    values = np.empty(n)
    work = np.empty(1 + 6 * n + 2 * n**2)  # the sizes that syevd's documentation asks for
    whole_work = np.empty(3 + 5 * n, dtype=np.intc)
    order, lwork, liwork, info = (
        ctypes.c_int(number) for number in (n, len(work), len(whole_work), 0)
    )
    vectors_too, lower = ctypes.create_string_buffer(b"V"), ctypes.create_string_buffer(b"L")
    by = ctypes.byref
    _dsyevd(
        by(vectors_too), by(lower), by(order), A.ctypes.data, by(order), values.ctypes.data,
        work.ctypes.data, by(lwork), whole_work.ctypes.data, by(liwork), by(info),
    )  # fmt: skip
    if info.value:
        raise np.linalg.LinAlgError(f"eigenvalues did not converge (LAPACK syevd: {info.value})")
    return values

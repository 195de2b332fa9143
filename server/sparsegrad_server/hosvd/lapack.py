"""Eigenvectors of a symmetric matrix by LAPACK, called so that other Python threads go on.

The steps of LAPACK's syevd, each by itself::

    A = Q T Qᵀ    sytrd    T tridiagonal, Q a product of reflectors
    T = Z Λ Zᵀ    stedc    divide and conquer
    QZ            larfb    on the wanted columns only

syevd applies Q to all columns, 32 reflectors at a time; in wider blocks that is a product that
BLAS is fast at, and for a truncated basis most of it is not needed.

scipy's own wrappers hold the interpreter's lock for as long as LAPACK takes: minutes in which no
heartbeat is sent and no other group is computed. The same routines, from scipy's table for
Cython, called through ctypes, hold no lock.
"""

from __future__ import annotations

import ctypes

import numpy as np
from scipy.linalg import cython_lapack

from .arrays import Float64Array

REFLECTORS = 128  # applied at a time: of 32 to 384, wider ones were no faster
_PANEL = 64  # columns that sytrd takes at a time, at most

_INTEGER = np.intc


def _routine(name: str, arguments: int) -> ctypes._FuncPointer:
    capsule = cython_lapack.__pyx_capi__[name]
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)
    address: int = pointer_of(capsule, name_of(capsule))
    return prototype(address)


_dsytrd = _routine("dsytrd", 10)
_dstedc = _routine("dstedc", 11)
_dlarft = _routine("dlarft", 9)
_dlarfb = _routine("dlarfb", 15)


def eigh(A: Float64Array, count: int | None = None) -> tuple[Float64Array, Float64Array]:
    """The eigenvalues of a symmetric matrix, and the eigenvectors of the largest ones.

    Args:
        A: n × n in Fortran's order, n ≤ 32766; its lower triangle is read. Lost afterwards.
        count: how many eigenvectors; all when None or more than n.

    Returns:
        All n eigenvalues, rising; the eigenvectors of the last `count` of them, n × count, in
        Fortran's order.

    Raises:
        ValueError: A is not a square float64 matrix in Fortran's order.
        numpy.linalg.LinAlgError: they did not converge.
    """
    n = len(A)
    if A.shape != (n, n) or A.dtype != np.float64 or not A.flags.f_contiguous:
        raise ValueError(f"expected a square float64 matrix, Fortran's order, got {A.shape}")
    work = np.empty(max(1 + 4 * n + n**2, n * max(_PANEL, REFLECTORS)))
    diagonal, beside, factors = _reduce(A, work)
    vectors = _solve_tridiagonal(diagonal, beside, work)
    wanted = vectors[:, n - min(count or n, n) :]
    _rotate(A, factors, wanted, work)
    return diagonal, wanted


def _reduce(A: Float64Array, work: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """T's diagonal (n) and what is beside it (n - 1); reflectors stay in A, factors come back."""
    n, status = len(A), ctypes.c_int()
    diagonal, beside, factors = np.empty(n), np.empty(max(n - 1, 1)), np.empty(max(n - 1, 1))
    _dsytrd(
        _text("L"), _whole(n), A.ctypes.data, _whole(n), diagonal.ctypes.data, beside.ctypes.data,
        factors.ctypes.data, work.ctypes.data, _whole(n * _PANEL), ctypes.byref(status),
    )  # fmt: skip
    _check("sytrd", status)
    return diagonal, beside, factors


def _solve_tridiagonal(
    diagonal: Float64Array, beside: Float64Array, work: Float64Array
) -> Float64Array:
    """The eigenvectors of T, n × n; its eigenvalues, rising, take the diagonal's place."""
    n, status = len(diagonal), ctypes.c_int()
    vectors = np.empty((n, n), order="F")
    whole_work = np.empty(3 + 5 * n, _INTEGER)
    _dstedc(
        _text("I"), _whole(n), diagonal.ctypes.data, beside.ctypes.data, vectors.ctypes.data,
        _whole(n), work.ctypes.data, _whole(len(work)), whole_work.ctypes.data,
        _whole(len(whole_work)), ctypes.byref(status),
    )  # fmt: skip
    _check("stedc", status)
    return vectors


def _rotate(
    reflectors: Float64Array, factors: Float64Array, vectors: Float64Array, work: Float64Array
) -> None:
    """Q times `vectors`, in place: the last reflectors first, a block of them at a time."""
    n, columns = vectors.shape
    triangle = np.empty((REFLECTORS, REFLECTORS), order="F")
    for first in reversed(range(0, n - 1, REFLECTORS)):
        # Reflector k changes the rows below the k-th: its vector is column k of A from there on.
        rows, width = n - 1 - first, min(REFLECTORS, n - 1 - first)
        block = reflectors[first + 1 :, first:].ctypes.data
        _dlarft(
            _text("F"), _text("C"), _whole(rows), _whole(width), block, _whole(n),
            factors[first:].ctypes.data, triangle.ctypes.data, _whole(REFLECTORS),
        )  # fmt: skip
        _dlarfb(
            _text("L"), _text("N"), _text("F"), _text("C"), _whole(rows), _whole(columns),
            _whole(width), block, _whole(n), triangle.ctypes.data, _whole(REFLECTORS),
            vectors[first + 1 :].ctypes.data, _whole(n), work.ctypes.data, _whole(columns),
        )  # fmt: skip


def _text(letter: str) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(letter.encode())


def _whole(number: int) -> object:
    return ctypes.byref(ctypes.c_int(number))


def _check(routine: str, status: ctypes.c_int) -> None:
    if status.value:
        raise np.linalg.LinAlgError(
            f"eigenvalues did not converge (LAPACK {routine}: {status.value})"
        )

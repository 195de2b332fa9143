"""Errors of what a client sends: values, tensors and bodies that cannot be used."""

from __future__ import annotations

from .root import SparseGradError


class InvalidInput(SparseGradError):
    """A value that cannot be used as it stands."""

    status = 422
    title = "Invalid input"


class InvalidReference(InvalidInput):
    """A text that is not a reference to a basis."""

    title = "Invalid reference to a basis"


class InvalidTensor(InvalidInput):
    """Bytes that are not the tensors they should be."""

    title = "Invalid tensor"


class NonFiniteGradient(InvalidTensor):
    """A gradient with NaN or infinity in it."""

    title = "Gradient is not finite"


class ShapeMismatch(InvalidTensor):
    """A tensor of another shape or data type than its place takes."""

    title = "Shape mismatch"


class DigestMismatch(InvalidInput):
    """Bytes whose digest is not the one that was promised."""

    title = "Digest mismatch"


class TruncatedBody(InvalidInput):
    """A body that ended before it was whole."""

    status = 400
    title = "Truncated body"


class UnsupportedModel(InvalidInput):
    """A model or a layer that we do not know how to treat."""

    title = "Unsupported model"

"""Gradients as clients send them, for the server's tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import numpy.typing as npt

from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.framing import DType, Frame, RawTensor

D_OUT, D_IN = 24, 16


def frame(tensors: Mapping[str, npt.NDArray[Any]], **metadata: str) -> Frame:
    """A frame of NumPy arrays."""
    raw = {name: _raw(np.ascontiguousarray(array)) for name, array in tensors.items()}
    return Frame(raw, metadata)


def _raw(array: npt.NDArray[Any]) -> RawTensor:
    names: dict[Any, DType] = {
        np.dtype("f8"): "float64",
        np.dtype("f4"): "float32",
        np.dtype("f2"): "float16",
        np.dtype(ml_dtypes.bfloat16): "bfloat16",
    }
    return RawTensor(names[array.dtype], array.shape, memoryview(array.tobytes()))


def dense(seed: int, d_out: int = D_OUT, d_in: int = D_IN) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((d_out, d_in), dtype=np.float32)


def dense_frame(seed: int, d_out: int = D_OUT, d_in: int = D_IN) -> Frame:
    return frame({"G": dense(seed, d_out, d_in)})


def manifest(**changes: Any) -> dict[str, Any]:
    """A small calibration's manifest; `changes` go to its one group."""
    group = {
        "name": "up",
        "layers": ["encoder.0.up"],
        "d_out": D_OUT,
        "d_in": D_IN,
        "dtype": "float32",
        "gradients": 8,
        "held_out": 2,
    }
    return {
        "name": "team/tiny",
        "model": {"id": "tiny", "architecture": "TinyModel"},
        "dataset": {"id": "data", "fingerprint": "1"},
        "groups": [group | changes],
    }


def open_calibration(client: httpx.Client, **changes: Any) -> str:
    answer = client.post("/v1/calibrations", json=manifest(**changes))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def put(
    client: httpx.Client,
    calibration: str,
    index: int,
    body: Frame | bytes,
    group: str = "up",
    **headers: str,
) -> httpx.Response:
    """Send a gradient; `headers` (with _ for -) replace the right ones, and "" leaves one out."""
    content = body if isinstance(body, bytes) else b"".join(body)
    right = {
        "Content-Length": str(len(content)),
        "Content-Digest": content_digest(digest_of([content])),
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in (right | given).items() if value}
    return client.put(
        f"/v1/calibrations/{calibration}/gradients/{group}/{index}",
        content=_pieces(content),
        headers=sent,
    )


def _pieces(content: bytes) -> Iterator[bytes]:
    for begin in range(0, len(content), 64 * 1024):
        yield content[begin : begin + 64 * 1024]

"""Whatever is wrong is refused by name, and what is stored stays as it was."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.calibrations import Calibration
from support.gradients import D_IN, D_OUT, dense, dense_frame, frame, open_calibration, put
from support.service import running

from sparsegrad_shared.digests import content_digest, digest_of
from sparsegrad_shared.errors import (
    BodyTooLarge,
    CalibrationClosed,
    DigestMismatch,
    InvalidInput,
    InvalidTensor,
    NonFiniteGradient,
    ShapeMismatch,
    SlotTaken,
    SparseGradError,
    TruncatedBody,
    UnknownCalibration,
    UnknownGroup,
)

GRAM_IN = (dense(5).T @ dense(5)).astype(np.float64)
GRAM_OUT = (dense(5) @ dense(5).T).astype(np.float64)


def assert_problem(answer: httpx.Response, error: type[SparseGradError], *said: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == error.type_uri(), problem
    assert answer.status_code == problem["status"] == error.status
    for words in said:
        assert words in problem["detail"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_refused_with_its_count(
    calibration: Calibration, value: float
) -> None:
    G = dense(1)
    G[3, 5] = G[7, 1] = value
    answer = put(calibration.client, calibration.id, 1, frame({"G": G}))
    assert_problem(answer, NonFiniteGradient, "up/1", "G: 2 of 384 entries")
    calibration.assert_intact()


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"G": dense(1, D_IN, D_OUT)}, "expected shape (24, 16), got (16, 24)"),
        ({"G": dense(1)[0]}, "got (16,)"),
        ({"G": dense(1).astype(np.float64)}, "expected float32, got float64"),
        ({"g": dense(1, 3, D_OUT), "x": dense(2, 4, D_IN)}, "expected shape (3, 16), got (4, 16)"),
        ({"g": dense(1, 0, D_OUT), "x": dense(2, 0, D_IN)}, "at least one token"),
        ({"g": dense(1, 3, D_IN), "x": dense(2, 3, D_IN)}, "g: expected shape (3, 24)"),
    ],
)
def test_another_shape_or_data_type_is_refused_with_both(
    calibration: Calibration, tensors: dict[str, np.ndarray], said: str
) -> None:
    answer = put(calibration.client, calibration.id, 1, frame(tensors))
    assert_problem(answer, ShapeMismatch, "up/1", said)
    calibration.assert_intact()


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"A_in": GRAM_IN, "A_out": GRAM_OUT}, {}, "count"),
        ({"A_in": GRAM_IN, "A_out": GRAM_OUT}, {"count": "0"}, "at least 1"),
        ({"A_in": GRAM_IN, "A_out": GRAM_OUT}, {"count": "2", "zero_count": "3"}, "zero_count 3"),
        ({"A_in": GRAM_IN, "A_out": GRAM_OUT}, {"count": "many"}, "many"),
        ({"A_in": np.triu(GRAM_IN), "A_out": GRAM_OUT}, {"count": "1"}, "symmetric"),
        ({"A_in": GRAM_IN, "A_out": 2 * GRAM_OUT}, {"count": "1"}, "equal traces"),
        ({"A_in": 0 * GRAM_IN, "A_out": 0 * GRAM_OUT}, {"count": "1"}, "zero sum"),
    ],
)
def test_sums_that_cannot_be_gram_matrices_are_refused(
    calibration: Calibration, tensors: dict[str, np.ndarray], metadata: dict[str, str], said: str
) -> None:
    answer = put(calibration.client, calibration.id, 1, frame(tensors, **metadata))
    assert_problem(answer, InvalidInput, "up/1", said)
    calibration.assert_intact()


def test_sums_are_refused_where_a_basis_is_judged(calibration: Calibration) -> None:
    body = frame({"A_in": GRAM_IN, "A_out": GRAM_OUT}, count="1")
    answer = put(calibration.client, calibration.id, 9, body)
    assert_problem(answer, InvalidInput, "up/9", "held-out")
    calibration.assert_intact()


def header(entries: object) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"", TruncatedBody, "8 bytes"),
        (b"abc", TruncatedBody, "8 bytes"),
        (b"\x80\x04cbuiltins\nexec\n", InvalidTensor, "safetensors"),
        (struct.pack("<Q", 1 << 40) + b"{}", InvalidTensor, "header"),
        (struct.pack("<Q", 50) + b"{}", TruncatedBody, "58"),
        (header([]), InvalidTensor, "not a map"),
        (header({}), InvalidTensor, "got none"),
        (header({"H": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}), InvalidTensor, "H"),
        (b"".join(dense_frame(1)) + b"x", InvalidTensor, "nothing may follow"),
        (b"".join(dense_frame(1))[:-4], TruncatedBody, "the frame has"),
    ],
)
def test_a_body_that_is_no_gradient_is_refused(
    calibration: Calibration, body: bytes, error: type[SparseGradError], said: str
) -> None:
    assert_problem(put(calibration.client, calibration.id, 1, body), error, said)
    calibration.assert_intact()


def test_a_wrong_digest_is_refused_with_both(calibration: Calibration) -> None:
    promised, found = digest_of([b"other"]), dense_frame(1).digest()
    answer = put(
        calibration.client,
        calibration.id,
        1,
        dense_frame(1),
        Content_Digest=content_digest(promised),
    )
    assert_problem(answer, DigestMismatch, promised, found)
    calibration.assert_intact()


@pytest.mark.parametrize("digest", ["", "sha-256=:AAAA:", "md5=:AAAA:"])
def test_a_gradient_without_a_digest_is_refused(calibration: Calibration, digest: str) -> None:
    answer = put(calibration.client, calibration.id, 1, dense_frame(1), Content_Digest=digest)
    assert_problem(answer, InvalidInput, "Content-Digest")
    calibration.assert_intact()


def test_a_gradient_without_its_size_is_refused(calibration: Calibration) -> None:
    answer = put(calibration.client, calibration.id, 1, dense_frame(1), Content_Length="")
    assert_problem(answer, InvalidInput, "Content-Length")
    calibration.assert_intact()


def test_a_body_over_the_limit_is_refused_before_it_is_sent(calibration: Calibration) -> None:
    limit = calibration.service.settings.max_gradient_bytes
    head = request_head(calibration, 1, limit + 1, dense_frame(1).digest())
    with connection(calibration) as sender:
        sender.sendall(head)
        answer = b"".join(iter(lambda: sender.recv(65536), b""))
    assert b" 413 " in answer.splitlines()[0]
    assert BodyTooLarge.type_uri().encode() in answer
    calibration.assert_intact()


def test_a_client_in_the_middle_of_a_body_over_the_limit_gets_the_answer(tmp_path: Path) -> None:
    limits = {"max_gradient_bytes": 4096, "max_namespace_bytes": 4096}
    with running(tmp_path / "data", **limits) as service, service.client() as client:
        calibration_id = open_calibration(client, gradients=2, held_out=0)
        answer = put(client, calibration_id, 1, bytes(64 << 20))
        assert_problem(answer, BodyTooLarge, "at most 4096 bytes")
        assert put(client, calibration_id, 0, dense_frame(0)).status_code == 201


def test_a_body_that_ends_early_leaves_nothing(calibration: Calibration) -> None:
    content = b"".join(dense_frame(1))
    with connection(calibration) as sender:
        sender.sendall(request_head(calibration, 1, len(content), digest_of([content])))
        sender.sendall(content[:-100])
        sender.shutdown(socket.SHUT_WR)
        while sender.recv(65536):  # until the server has noticed, and closed its side
            pass
    calibration.assert_intact()
    assert put(calibration.client, calibration.id, 1, content).status_code == 201


def connection(calibration: Calibration) -> socket.socket:
    url = httpx.URL(calibration.service.url)
    return socket.create_connection((url.host, url.port), timeout=30)


def request_head(calibration: Calibration, index: int, size: int, digest: str) -> bytes:
    lines = [
        f"PUT /v1/calibrations/{calibration.id}/gradients/up/{index} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Authorization: {calibration.client.headers['Authorization']}",
        f"Content-Length: {size}",
        f"Content-Digest: {content_digest(digest)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_an_unknown_group_is_refused_with_those_there_are(calibration: Calibration) -> None:
    answer = put(calibration.client, calibration.id, 1, dense_frame(1), group="down")
    assert_problem(answer, UnknownGroup, "'down'", "it has up")
    calibration.assert_intact()


def test_an_unknown_calibration_is_refused(calibration: Calibration) -> None:
    answer = put(calibration.client, "cal-0", 1, dense_frame(1))
    assert_problem(answer, UnknownCalibration, "cal-0")


@pytest.mark.parametrize(("index", "said"), [(10, "slots 0 to 9"), (-1, "index")])
def test_an_index_without_a_slot_is_refused(
    calibration: Calibration, index: int, said: str
) -> None:
    answer = put(calibration.client, calibration.id, index, dense_frame(1))
    assert_problem(answer, InvalidInput, said)
    calibration.assert_intact()


def test_another_gradient_in_a_stored_slot_is_refused_and_the_same_one_answered(
    calibration: Calibration,
) -> None:
    answer = put(calibration.client, calibration.id, 0, dense_frame(1))
    assert_problem(answer, SlotTaken, dense_frame(0).digest(), dense_frame(1).digest())
    again = put(calibration.client, calibration.id, 0, dense_frame(0))
    assert (again.status_code, again.json()["digest"]) == (200, dense_frame(0).digest())
    calibration.assert_intact()


def test_a_finished_calibration_takes_no_more_but_answers_for_what_it_has(
    calibration: Calibration,
) -> None:
    finished = calibration.client.post(f"/v1/calibrations/{calibration.id}/finish")
    assert finished.status_code == 202
    answer = put(calibration.client, calibration.id, 1, dense_frame(1))
    assert_problem(answer, CalibrationClosed, calibration.id)
    assert put(calibration.client, calibration.id, 0, dense_frame(0)).status_code == 200
    calibration.assert_intact()


@pytest.mark.parametrize("segment", ["..%2f..%2fetc", "%2e%2e", ".hidden", "a%00b", "a b"])
def test_a_name_that_is_a_path_is_refused(calibration: Calibration, segment: str) -> None:
    answer = put(calibration.client, calibration.id, 1, dense_frame(1), group=segment)
    assert answer.status_code in (404, 422)
    calibration.assert_intact()

"""Calibrations over HTTP: opened within limits, looked at, finished once."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from support.calibrations import Calibration
from support.gradients import D_IN, D_OUT, dense_frame, frame, manifest, open_calibration, put
from support.service import Service, running

from sparsegrad_shared.calibrations import CalibrationCreated, CalibrationStatus
from sparsegrad_shared.errors import (
    BodyTooLarge,
    InvalidInput,
    NoGradients,
    QuotaExceeded,
    UnknownCalibration,
)
from sparsegrad_shared.framing import Frame
from sparsegrad_shared.jobs import JobStatus

ZEROS = frame({"G": np.zeros((D_OUT, D_IN), np.float32)})


def test_a_new_calibration_is_told_its_limits_and_estimate(
    service: Service, client: httpx.Client
) -> None:
    answer = client.post("/v1/calibrations", json=manifest())
    created = CalibrationCreated.model_validate_json(answer.content)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/calibrations/{created.id}"
    assert created.limits.gradient_bytes == service.settings.max_gradient_bytes
    assert created.estimate.disk_bytes > 10 * D_OUT * D_IN * 4
    status = CalibrationStatus.model_validate_json(client.get(answer.headers["location"]).content)
    assert (status.state, status.job, status.name) == ("open", None, "team/tiny")
    assert (status.groups[0].expected, status.groups[0].arrived) == (10, ())


def test_the_status_lists_what_arrived_and_what_of_it_is_zero(client: httpx.Client) -> None:
    calibration = open_calibration(client)
    for index, body in ((7, dense_frame(7)), (2, ZEROS), (4, dense_frame(4))):
        put(client, calibration, index, body)
    group = client.get(f"/v1/calibrations/{calibration}").json()["groups"][0]
    assert (group["arrived"], group["zero"]) == ([2, 4, 7], 1)


@pytest.mark.parametrize(
    "sent",
    [(), (ZEROS,)],
    ids=["nothing", "zeros"],
)
def test_a_finish_without_gradients_names_the_groups_and_leaves_it_open(
    client: httpx.Client, sent: tuple[Frame, ...]
) -> None:
    calibration = open_calibration(client)
    for index, body in enumerate(sent):
        put(client, calibration, index, body)
    put(client, calibration, 8, dense_frame(8))  # held out: nothing to fit on
    answer = client.post(f"/v1/calibrations/{calibration}/finish")
    assert answer.json()["type"] == NoGradients.type_uri()
    assert "up" in answer.json()["detail"]
    put(client, calibration, 5, dense_frame(5))
    assert client.post(f"/v1/calibrations/{calibration}/finish").status_code == 202


def test_a_second_finish_answers_the_same_job(
    client: httpx.Client, calibration: Calibration
) -> None:
    answers = [client.post(f"/v1/calibrations/{calibration.id}/finish") for _ in range(2)]
    first, second = (JobStatus.model_validate_json(answer.content) for answer in answers)
    assert first.id == second.id
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].headers["location"] == f"/v1/jobs/{first.id}"
    status = client.get(f"/v1/calibrations/{calibration.id}").json()
    assert (status["state"], status["job"]) == ("finished", first.id)


def test_an_unknown_calibration_cannot_be_finished(client: httpx.Client) -> None:
    answer = client.post("/v1/calibrations/cal-0/finish")
    assert answer.json()["type"] == UnknownCalibration.type_uri()


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"])


def test_what_could_never_be_held_is_refused_at_once(tmp_path: Path) -> None:
    limits = {"max_gradient_bytes": 4096, "max_namespace_bytes": 8192, "max_gradients": 100}
    with running(tmp_path / "data", **limits) as service, service.client() as client:
        slots = client.post("/v1/calibrations", json=manifest(gradients=99, held_out=2))
        large = client.post("/v1/calibrations", json=manifest(d_out=1000, d_in=1000))
        many = client.post("/v1/calibrations", json=manifest(gradients=90))
    assert [kind(slots), kind(large), kind(many)] == [
        InvalidInput.type_uri(),
        BodyTooLarge.type_uri(),
        QuotaExceeded.type_uri(),
    ]


def test_a_full_namespace_takes_no_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    size = dense_frame(0).size
    with (
        running(
            tmp_path / "data", max_gradient_bytes=size, max_namespace_bytes=2 * size
        ) as service,
        service.client() as client,
    ):
        calibration = open_calibration(client, gradients=3, held_out=0)
        answers = [put(client, calibration, index, dense_frame(index)) for index in range(3)]
        arrived = client.get(f"/v1/calibrations/{calibration}").json()["groups"][0]["arrived"]
    assert [answer.status_code for answer in answers] == [201, 201, 413]
    assert kind(answers[2]) == QuotaExceeded.type_uri()
    assert arrived == [0, 1]

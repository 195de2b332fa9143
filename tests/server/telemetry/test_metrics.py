"""Metrics: right, in Prometheus's own words, and of few labels whatever is asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.gradients import dense_frame, open_calibration, put
from support.service import Service, running
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.telemetry.inventory import Inventory
from sparsegrad_server.telemetry.metrics import Exchange, RequestMetrics

Labels = dict[str, str]


class Readings:
    """What an endpoint said, parsed by Prometheus's own parser."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> list[Labels]:
        return [sample.labels for sample in self.families[name].samples]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server of its own, so that nobody else is counted; one basis is published."""
    bench = Workbench(tmp_path_factory.mktemp("metrics") / "data")
    assert bench.publish(manifest_of([group_of()])).state == "done"
    with running(bench.settings.data) as service:
        yield service


@pytest.fixture(scope="module")
def prometheus(watched: Service) -> Iterator[httpx.Client]:
    with watched.client("*", "metrics") as client:
        yield client


def read(prometheus: httpx.Client) -> Readings:
    answer = prometheus.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Readings(answer.text)


def test_requests_are_counted_by_template_with_bytes_and_seconds(
    watched: Service, prometheus: httpx.Client
) -> None:
    route = "/v1/calibrations/{calibration_id}/gradients/{group}/{index}"
    size = len(b"".join(dense_frame(0)))
    before = read(prometheus)
    with watched.client() as client:
        calibration = open_calibration(client)
        for index in range(3):
            assert put(client, calibration, index, dense_frame(index)).status_code == 201
        assert put(client, calibration, 99, dense_frame(0)).status_code == 422
    after = read(prometheus)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("sparsegrad_http_requests_total", route=route, status="201") == 3
    assert grown("sparsegrad_http_requests_total", route=route, status="422") == 1
    assert grown("sparsegrad_http_request_seconds_count", method="PUT", route=route) == 4
    assert grown("sparsegrad_http_request_seconds_sum", method="PUT", route=route) > 0
    assert grown("sparsegrad_http_received_bytes_total", route=route) >= 3 * size
    assert grown("sparsegrad_http_sent_bytes_total", route=route) > 0
    assert grown("sparsegrad_gradient_bytes") == 3 * size
    assert grown("sparsegrad_jobs", kind="accumulate", state="queued") == 1
    assert grown("sparsegrad_calibrations", state="open") == 1


def test_what_is_there_is_said_and_job_phases_have_taken_time(prometheus: httpx.Client) -> None:
    readings = read(prometheus)
    assert readings.value("sparsegrad_bases") == readings.value("sparsegrad_versions") == 1
    assert readings.value("sparsegrad_jobs", kind="publish", state="done") == 1
    assert readings.value("sparsegrad_jobs", kind="publish", state="queued") == 0
    assert readings.value("sparsegrad_disk_free_bytes") > 0
    assert readings.value("sparsegrad_disk_used_bytes") > 0
    assert readings.value("sparsegrad_uploads_active") == 0
    phases = {labels["phase"] for labels in readings.labels("sparsegrad_job_phase_seconds")}
    assert {"solving", "writing", "publishing"} <= phases
    for phase in phases:
        assert readings.value("sparsegrad_job_phase_seconds_count", phase=phase) >= 1
    (build,) = readings.labels("sparsegrad_build_info")
    assert build.keys() == {"version", "python"}


def test_nobody_can_add_labels_by_asking_for_what_is_not_there(
    watched: Service, prometheus: httpx.Client
) -> None:
    def series() -> set[str]:
        return {
            str(sorted(labels.items()))
            for name in ("sparsegrad_http_requests", "sparsegrad_http_request_seconds")
            for labels in read(prometheus).labels(name)
            if labels.get("status", "404") in ("401", "404", "405")
        }

    def wander() -> None:
        with watched.client() as client:
            for _ in range(5):
                word = uuid.uuid4().hex
                client.get(f"/{word}")
                client.get(f"/v1/jobs/{word}")
                client.get(f"/v1/bases/{word}/{word}/versions/1")
                client.request(word.upper().translate(str.maketrans("", "", "0123456789")), "/")
                httpx.get(f"{watched.url}/v1/{word}", timeout=60)

    wander()
    known = series()
    wander()
    assert series() == known


def test_two_apps_in_one_process_count_apart() -> None:
    registries = [CollectorRegistry() for _ in range(2)]
    first, _ = (RequestMetrics(registry) for registry in registries)
    first.count(Exchange("BREW", None, 200, 0.1, 1, 2))
    texts = [Readings(generate_latest(registry).decode()) for registry in registries]
    counts = [
        text.value("sparsegrad_http_requests_total", method="other", route="other")
        for text in texts
    ]
    assert counts == [1, 0]


def test_the_catalog_is_not_asked_before_somebody_looks(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "data")
    bench.catalog.close()
    (tmp_path / "data" / "catalog.sqlite").unlink()
    CollectorRegistry().register(Inventory(bench.catalog, tmp_path, lambda: 0))

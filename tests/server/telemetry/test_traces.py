"""Traces arrive where the setting says, at a real receiver of OTLP over HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.serving import Serving
from support.workbench import Workbench, group_of, manifest_of


class Receiver(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                attribute.value.string_value
                for attribute in resource.resource.attributes
                if attribute.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in span.attributes}


def test_requests_have_spans_by_their_templates_and_tell_no_secret(tmp_path: Path) -> None:
    with receiving() as receiver:
        with Serving(tmp_path / "data", otlp_endpoint=receiver.endpoint) as serving:
            secret = serving.token()
            headers = {"Authorization": f"Bearer {secret}", "X-Request-Id": "from-a-test"}
            url = f"{serving.url}/v1/calibrations/cal-1"
            assert httpx.get(url, headers=headers, timeout=60).status_code == 404
            httpx.get(f"{serving.url}/livez", timeout=60)
            serving.ask_to_stop()
            assert serving.process.wait(120) == 0
        (span,) = receiver.named("GET /v1/calibrations/{calibration_id}")
        assert attributes(span)["sparsegrad.request_id"] == "from-a-test"
        assert receiver.services == {"sparsegrad-server"}
        assert not any("livez" in span.name for span in receiver.spans)
        assert not any(secret[3:] in str(span) for span in receiver.spans)


def test_jobs_have_spans_with_their_phases_within(tmp_path: Path) -> None:
    with receiving() as receiver:
        bench = Workbench(tmp_path / "data", otlp_endpoint=receiver.endpoint)
        status = bench.publish(manifest_of([group_of()]))
        assert status.state == "done"
        bench.worker.close()
        (job,) = receiver.named("job publish")
        assert attributes(job)["sparsegrad.job_id"] == status.id
        phases = [span for span in receiver.spans if span.parent_span_id == job.span_id]
        assert {span.name.split()[0] for span in phases} >= {"solving", "writing", "publishing"}
        for phase in phases:
            assert phase.trace_id == job.trace_id
            assert job.start_time_unix_nano <= phase.start_time_unix_nano
            assert phase.end_time_unix_nano <= job.end_time_unix_nano


def test_nothing_is_sent_when_nobody_asked_for_it(tmp_path: Path) -> None:
    with receiving() as receiver:
        bench = Workbench(tmp_path / "data")
        assert bench.publish(manifest_of([group_of()])).state == "done"
        bench.worker.close()
        assert receiver.spans == []


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_what_is_not_installed_is_named_at_the_start(tmp_path: Path, command: str) -> None:
    absent = tmp_path / "opentelemetry" / "sdk"
    absent.mkdir(parents=True)
    # In front of the path, one part of the package that says that it is not installed.
    (absent / "__init__.py").write_text(
        "raise ModuleNotFoundError('no module', name='opentelemetry.sdk')"
    )
    environment = {
        "PYTHONPATH": str(tmp_path),
        "SPARSEGRAD_OTLP_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "sparsegrad_server", command, "--data", str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert "pip install 'sparsegrad-peft[telemetry]'" in ran.stderr.splitlines()[-1]

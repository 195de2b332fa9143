"""Traces: spans of requests, of jobs and of their phases, sent by OTLP when an endpoint is set.

The extra `telemetry` has what sends them. OpenTelemetry's own variables, such as
`OTEL_EXPORTER_OTLP_HEADERS`, hold here as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span  # of the API alone, which the framework needs

from sparsegrad_shared.errors import MissingExtra

from ..settings import Settings

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVICE = "sparsegrad-server"
PROBES = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds


def open_provider(settings: Settings) -> TracerProvider | None:
    """What makes spans and sends them; None when no endpoint is set.

    Raises:
        MissingExtra: when there is an endpoint, and nothing installed to send with.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"otlp_endpoint is set, but {error.name} is not installed: "
            "pip install 'sparsegrad-peft[telemetry]', or unset SPARSEGRAD_OTLP_ENDPOINT"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def request_tracing(provider: TracerProvider | None) -> TelemetryConfig:
    """How the web framework makes a span of each request: of ours only, and of nothing else.

    Args:
        provider: what makes them; None makes none, whatever the environment says.
    """
    config: TelemetryConfig = {
        "tracing": provider is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"] in PROBES,
    }
    if provider is not None:
        config["tracer_provider"] = provider
    return config


def name_request(request_id: str) -> None:
    """Note in the span of the request at hand, if there is one, what the log has it under."""
    get_current_span().set_attribute("sparsegrad.request_id", request_id)


class JobTraces:
    """Spans of jobs.

    Args:
        settings: whether there are any, and where they go.
    """

    def __init__(self, settings: Settings) -> None:
        self._provider = open_provider(settings)

    @contextmanager
    def job(self, kind: str, job_id: str, calibration_id: str) -> Iterator[PhaseSpans]:
        """A span around a job; what it yields makes the phases' spans within."""
        if self._provider is None:
            yield PhaseSpans(None)
            return
        tracer = self._provider.get_tracer(__name__)
        about = {"sparsegrad.job_id": job_id, "sparsegrad.calibration_id": calibration_id}
        with tracer.start_as_current_span(f"job {kind}", attributes=about):
            phases = PhaseSpans(tracer)
            try:
                yield phases
            finally:
                phases.end()

    def flush(self) -> None:
        """Send what is still here."""
        if self._provider is not None:
            self._provider.force_flush()


class PhaseSpans:
    """The spans of a job's phases, one after another.

    Args:
        tracer: what makes them; None makes none.
    """

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._span: Span | None = None

    def enter(self, phase: str) -> None:
        """The job is in a phase; the one before it, if there was one, has ended."""
        self.end()
        if self._tracer is not None:
            self._span = self._tracer.start_span(phase)

    def end(self) -> None:
        """The phase has ended."""
        if self._span is not None:
            self._span.end()
            self._span = None

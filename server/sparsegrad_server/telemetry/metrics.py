"""What is counted of requests, for Prometheus.

Labels take few values: methods that HTTP names, routes by their templates, statuses. Whatever
else comes is `other`. Each app has a registry of its own.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Histogram, Info

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
# Seconds: a look into the catalog takes milliseconds, a gradient of a gigabyte minutes.
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, when all is over.

    Attributes:
        method: of HTTP.
        route: the route's template; None when no route matched.
        status: of the answer.
        seconds: from the request's head to the answer's last byte.
        received: bytes of its body.
        sent: bytes of the answer's body.
    """

    method: str
    route: str | None
    status: int
    seconds: float
    received: int
    sent: int


class RequestMetrics:
    """Counts requests.

    Args:
        registry: where the counts are read.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route")
        self._requests = Counter(
            "sparsegrad_http_requests",
            "Requests answered.",
            (*labels, "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "sparsegrad_http_request_seconds",
            "Seconds from a request's head to its answer's last byte.",
            labels,
            buckets=BUCKETS,
            registry=registry,
        )
        self._received = Counter(
            "sparsegrad_http_received_bytes", "Bytes of bodies received.", labels, registry=registry
        )
        self._sent = Counter(
            "sparsegrad_http_sent_bytes", "Bytes of answers' bodies.", labels, registry=registry
        )
        build = Info("sparsegrad_build", "What runs here.", registry=registry)
        build.info({"version": version("sparsegrad-peft"), "python": platform.python_version()})

    def count(self, exchange: Exchange) -> None:
        """Count a request that is over."""
        method = exchange.method if exchange.method in METHODS else OTHER
        route = exchange.route or OTHER
        self._requests.labels(method, route, str(exchange.status)).inc()
        self._seconds.labels(method, route).observe(exchange.seconds)
        self._received.labels(method, route).inc(exchange.received)
        self._sent.labels(method, route).inc(exchange.sent)

"""Metrics, for Prometheus: counts of the whole server, so for tokens of every namespace only."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from .dependencies import MetricsReader

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus's text format"}},
)
def read_metrics(request: Request, principal: MetricsReader) -> Response:
    """What was counted of requests, and what the catalog and the disk hold.

    Needs a token for every namespace; the scope `metrics` is good for this and nothing else.
    """
    principal.require_everywhere()
    registry = cast(CollectorRegistry, request.app.state.registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

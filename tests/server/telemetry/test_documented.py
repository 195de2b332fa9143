"""What operators can watch is in the docs, and what the docs name is there."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.service import Service

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"


def test_the_docs_name_every_metric_and_no_other(service: Service) -> None:
    with service.client("*", "metrics") as prometheus:
        text = prometheus.get("/metrics").text
    families = [(family.name, family.type) for family in text_string_to_metric_families(text)]
    # Prometheus's own additions, the times at which counting began, are left out.
    there = {
        f"{name}_total" if kind == "counter" else name
        for name, kind in families
        if not name.endswith("_created")
    }
    assert set(re.findall(r"`(sparsegrad_\w+)`", PAGE.read_text())) == there

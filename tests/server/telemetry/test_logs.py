"""Logs: a line a record, with the ids of what it was for, and never a token."""

from __future__ import annotations

import io
import json
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import run
from anyio.to_thread import run_sync
from hypothesis import given
from hypothesis import strategies as st
from support.gradients import manifest
from support.serving import Serving
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server import context
from sparsegrad_server.context import RequestContext
from sparsegrad_server.settings.operators import LogFormat
from sparsegrad_server.telemetry import logs

TOKEN = "sg_" + secrets.token_urlsafe(32) + "AbCdEf"
_log = logging.getLogger("sparsegrad_server.tests")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream(root: logging.Logger) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_is_masked_wherever_it_stands(root: logging.Logger, form: LogFormat) -> None:
    stream = io.StringIO()
    logs.configure(form, "info", stream)
    _log.info("a token %s in the arguments", TOKEN)
    _log.info(f"one in the message: Bearer {TOKEN}")
    _log.info("one in the fields", extra={"fields": {"token": TOKEN}})
    _log.info("half of one: %s", TOKEN[:20])
    try:
        int(TOKEN)
    except ValueError:
        _log.exception("one in a traceback")
    assert TOKEN[3:20] not in stream.getvalue()
    assert stream.getvalue().count("sg_***") >= 5
    assert "ValueError" in stream.getvalue()


@given(text=st.text())
def test_masking_leaves_everything_else_as_it_is(text: str) -> None:
    assert logs.mask(text) == text or "sg_" in text
    assert logs.mask(logs.mask(text)) == logs.mask(text)


def test_lines_know_their_request_in_threads_too_and_only_their_own(stream: io.StringIO) -> None:
    async def answer(name: str) -> None:
        current = RequestContext(name, {"method": "GET", "path": "/"})
        with context.answering(current):
            await run_sync(_log.info, "in a thread")
            _log.info("on the loop")
        _log.info("afterwards")

    run(answer, "r1")
    run(answer, "r2")
    # Not those of servers in other threads, which other tests began.
    own = [line for line in lines(stream) if line["logger"] == _log.name]
    assert [line.get("request_id") for line in own] == [
        "r1",
        "r1",
        None,
        "r2",
        "r2",
        None,
    ]


def test_lines_know_their_job(stream: io.StringIO) -> None:
    with context.working_on("job-1"):
        _log.warning("within")
    _log.warning("without")
    assert [line.get("job_id") for line in lines(stream)] == ["job-1", None]
    assert {line["level"] for line in lines(stream)} == {"warning"}


def test_a_worker_s_lines_know_the_job_that_they_are_of(
    stream: io.StringIO, tmp_path: Path
) -> None:
    bench = Workbench(tmp_path / "data")
    status = bench.publish(manifest_of([group_of()]))
    assert status.state == "done"
    said = [line for line in lines(stream) if line["logger"].endswith("jobs.saying")]
    assert said[-1]["message"] == "published as version 1"
    assert {line["job_id"] for line in said} == {status.id}


def test_a_line_is_one_line_whatever_is_in_it(stream: io.StringIO) -> None:
    _log.info("first\nsecond\r\n\x1b[31m")
    (line,) = lines(stream)
    assert line["message"] == "first\nsecond\r\n\x1b[31m"
    logs.configure("text", "info", stream)
    _log.info("third\nERROR forged\x1b[31m")
    assert stream.getvalue().endswith("third\\nERROR forged\\x1b[31m\n")


def test_what_is_below_the_level_is_left_out(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("json", "warning", stream)
    _log.info("no")
    _log.warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("proposed", [None, "", "a b", "x" * 101, 'a"b', "a\r\nb", "ä"])
def test_an_id_that_cannot_stand_in_a_log_is_replaced(proposed: str | None) -> None:
    made = context.new_request_id(proposed)
    assert made != proposed
    assert len(made) == 32


def test_an_id_that_can_is_kept() -> None:
    assert context.new_request_id("trace-1.a~B_2") == "trace-1.a~B_2"


def test_a_request_s_id_is_in_the_answer_the_problem_and_the_log(tmp_path: Path) -> None:
    with Serving(tmp_path / "data", log_format="json") as serving:
        secret = serving.token(scope="read")
        headers = {"X-Request-Id": "from-a-test", "Authorization": f"Bearer {secret}"}
        url = f"{serving.url}/v1/calibrations"
        refused = httpx.post(url, json=manifest(), headers=headers, timeout=60)
        assert refused.headers["x-request-id"] == "from-a-test"
        assert refused.json()["request_id"] == "from-a-test"
        unnamed = httpx.get(f"{serving.url}/nowhere", timeout=60)
        serving.log.find(unnamed.headers["x-request-id"])
        access = json.loads(serving.log.find(r".*from-a-test.*")[0])
        assert access["logger"] == "sparsegrad_server.access"
        assert (access["message"], access["status"]) == ("POST /v1/calibrations", 403)
        assert access["token"] == "tests"
        assert access["bytes_in"] == int(refused.request.headers["content-length"])
        assert access["bytes_out"] == len(refused.content)
        assert access["ms"] > 0
        assert not any(secret[3:] in line for line in serving.log.lines)
        assert all(json.loads(line) for line in serving.log.lines)

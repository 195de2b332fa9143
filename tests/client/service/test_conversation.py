"""When a call is sent again, decided without I/O: the test is the driver, and owns the clock."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegrad_client.service import ServiceConfig, calls
from sparsegrad_client.service.answers import Answer
from sparsegrad_client.service.conversation import (
    LONGEST_ASKED,
    Line,
    Patience,
    Send,
    Wait,
    converse,
)
from sparsegrad_client.service.transport import retry_seconds
from sparsegrad_shared.calibrations import CalibrationManifest
from sparsegrad_shared.errors import (
    Overloaded,
    ServerFault,
    ServerUnreachable,
    SlotBusy,
    SparseGradError,
    UnknownJob,
)
from sparsegrad_shared.jobs import JobStatus

CONFIG = ServiceConfig("https://team.example", patience=30.0, busy_patience=100.0)
JOB = JobStatus.model_validate(
    {
        "id": "j1",
        "calibration": "c1",
        "state": "queued",
        "phase": "waiting",
        "completed": 0,
        "total": 1,
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
    }
)
MANIFEST = CalibrationManifest.model_validate(
    {
        "name": "team/x",
        "model": {"id": "m", "architecture": "M"},
        "dataset": {"id": "d", "fingerprint": "f"},
        "groups": [
            {
                "name": "up",
                "layers": ["a"],
                "d_out": 2,
                "d_in": 2,
                "dtype": "float32",
                "gradients": 1,
            }
        ],
    }
)

Event = Answer | httpx.TransportError


def _answer(status: int, content: str, media_type: str = "application/json") -> Answer:
    return Answer("GET https://team.example/", status, media_type, None, content.encode())


def _problem(error: SparseGradError) -> Answer:
    problem = error.to_problem()
    return _answer(problem.status, problem.model_dump_json(), "application/problem+json")


GOOD = _answer(200, JOB.model_dump_json())


@dataclass
class Driver:
    """Plays the network: gives each `Send` the next event, and lets time pass on `Wait`."""

    events: list[Event]
    line: Line = field(default_factory=lambda: Line(answered=True))
    now: float = 0.0
    sent: int = 0
    config: ServiceConfig = CONFIG
    spread: Callable[[float], float] = lambda limit: 0.0

    def run(self, call: calls.Call[JobStatus]) -> JobStatus:
        talk = converse(call, self.config, self.line, lambda: self.now, self.spread)
        step = next(talk)
        try:
            while True:
                if isinstance(step, Wait):
                    self.now += step.seconds
                    step = talk.send(None)
                    continue
                assert isinstance(step, Send)
                event = self.events[min(self.sent, len(self.events) - 1)]
                self.sent += 1
                step = talk.throw(event) if isinstance(event, Exception) else talk.send(event)
        except StopIteration as ended:
            value: JobStatus = ended.value
            return value


def test_a_cut_connection_is_tried_again_for_idempotent_calls() -> None:
    driver = Driver([httpx.ReadError("cut"), httpx.ConnectError("refused"), GOOD])
    assert driver.run(calls.job("j1")) == JOB
    assert driver.sent == 3


def test_what_is_not_idempotent_is_sent_again_only_when_it_never_left() -> None:
    call = calls.create_calibration(MANIFEST)
    driver = Driver([httpx.ReadError("cut"), GOOD])
    with pytest.raises(ServerUnreachable, match="cut"):
        driver.run(call)  # type: ignore[arg-type]
    assert driver.sent == 1
    created = _answer(
        201,
        json.dumps(
            {
                "id": "c1",
                "limits": {
                    "gradient_bytes": 1,
                    "calibration_gradients": 1,
                    "concurrent_uploads": 1,
                    "body_seconds": 1.0,
                },
                "estimate": {"disk_bytes": 1, "memory_bytes": 1, "seconds": 1.0},
            }
        ),
    )
    driver = Driver([httpx.ConnectError("refused"), created])
    assert driver.run(call).id == "c1"  # type: ignore[arg-type]


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    driver = Driver([httpx.ConnectError("refused")], line=Line())
    with pytest.raises(ServerUnreachable, match=r"team\.example.*sparsegrad-server serve"):
        driver.run(calls.job("j1"))
    assert (driver.sent, driver.now) == (1, 0.0)


def test_patience_with_a_silent_server_ends() -> None:
    driver = Driver([httpx.ConnectError("refused")])
    with pytest.raises(ServerUnreachable):
        driver.run(calls.job("j1"))
    assert driver.sent > 3
    assert driver.now <= CONFIG.patience


@pytest.mark.parametrize("error", [Overloaded, SlotBusy])
def test_retry_after_is_obeyed_to_the_second(error: type[SparseGradError]) -> None:
    driver = Driver([_problem(error("later", retry_after=7.0))] * 3 + [GOOD])
    assert driver.run(calls.job("j1")) == JOB
    assert driver.now == 21.0


def test_those_who_are_sent_away_together_do_not_come_back_together() -> None:
    waits = []
    for share in (0.0, 0.5, 1.0):
        driver = Driver(
            [_problem(Overloaded("later", retry_after=1.0))] * 3 + [GOOD],
            spread=lambda limit, share=share: share * limit,
        )
        driver.run(calls.job("j1"))
        waits.append(driver.now)
    assert waits[0] == 3.0
    assert waits[0] < waits[1] < waits[2]


def test_without_a_bound_a_busy_server_is_obeyed_for_days() -> None:
    driver = Driver(
        [_problem(Overloaded("later", retry_after=3600.0))] * 100 + [GOOD],
        config=replace(CONFIG, busy_patience=ServiceConfig("https://team.example").busy_patience),
    )
    assert driver.run(calls.job("j1")) == JOB
    assert driver.now == 100 * 3600.0


def test_a_server_that_asks_for_years_is_asked_again_within_the_hour() -> None:
    driver = Driver(
        [_problem(Overloaded("later", retry_after=1e300)), GOOD],
        config=replace(CONFIG, busy_patience=math.inf),
    )
    assert driver.run(calls.job("j1")) == JOB
    assert driver.now == LONGEST_ASKED


@pytest.mark.parametrize("asked", [math.inf, math.nan])
def test_a_time_that_is_none_is_no_reason_to_wait(asked: float) -> None:
    content = json.dumps(Overloaded("later").to_problem().model_dump() | {"retry_after": asked})
    driver = Driver([_answer(429, content, "application/problem+json")])
    with pytest.raises(ServerFault, match="broken problem"):
        driver.run(calls.job("j1"))


def test_a_proxy_that_speaks_for_a_dead_server_is_not_obeyed_for_days() -> None:
    gone = Answer("GET https://team.example/", 503, "text/plain", 10.0, b"gone")
    driver = Driver([gone], config=replace(CONFIG, busy_patience=math.inf))
    with pytest.raises(ServerUnreachable):
        driver.run(calls.job("j1"))
    assert driver.now <= CONFIG.patience


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_seconds(header, NOON) == seconds


def test_a_server_that_is_always_busy_is_left_in_the_end() -> None:
    driver = Driver([_problem(Overloaded("later", retry_after=30.0))])
    with pytest.raises(Overloaded, match="later"):
        driver.run(calls.job("j1"))
    assert driver.now == 90.0


def test_a_refusal_is_raised_as_the_class_that_the_server_raised() -> None:
    driver = Driver([_problem(UnknownJob("no job j1"))])
    with pytest.raises(UnknownJob, match="no job j1"):
        driver.run(calls.job("j1"))
    assert driver.sent == 1


def test_an_answer_that_is_not_ours_is_told_so() -> None:
    page = _answer(404, "<html>It works!</html>", "text/html")
    with pytest.raises(ServerFault, match=r"404 \(text/html\).*It works!"):
        Driver([page]).run(calls.job("j1"))
    with pytest.raises(ServerFault, match="JobStatus"):
        Driver([_answer(200, "<html>", "text/html")]).run(calls.job("j1"))
    with pytest.raises(ServerUnreachable, match="proxy"):
        Driver([_answer(502, "Bad gateway", "text/plain")]).run(calls.job("j1"))


@given(
    seconds=st.floats(0.0, 1e4),
    asked=st.lists(st.one_of(st.none(), st.floats(-1.0, 100.0)), max_size=30),
)
def test_pauses_never_go_beyond_the_patience(seconds: float, asked: list[float | None]) -> None:
    patience, now = Patience(seconds, lambda limit: limit), 0.0
    for wish in asked:
        pause = patience.pause(now, wish)
        if pause is None:
            break
        assert pause >= 0.0
        now += pause
    assert now <= seconds

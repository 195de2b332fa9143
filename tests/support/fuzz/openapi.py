"""The OpenAPI document held to the server, and the server to it: schemathesis's whole engine.

Its phases send, for every operation, what the document allows and what it forbids, then sequences
of operations in which what one answers is what the next one asks for. Its checks compare each
answer with the document.

Everything happens in a namespace of its own, with tokens of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import httpx
import schemathesis
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished
from schemathesis.engine.recorder import ScenarioRecorder
from support.bases import Shape, made, publish
from support.gradients import dense_frame, manifest, put

from sparsegrad_server.auth import tokens
from sparsegrad_server.catalog import Catalog
from sparsegrad_shared.tokens import Scope

from .tally import DEADLINE_SECONDS, Tally
from .target import Target
from .uploads import client

NAMESPACE = "fuzz"
OPERATIONS = 33  # about as many as there are

Phase = Literal["coverage", "fuzzing", "stateful"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class Sender:
    """Who sends, and where to.

    Attributes:
        scope: of the token; without one, no token is sent.
        known: whether paths lead to what is there.
    """

    scope: Scope | None
    known: bool

    def __str__(self) -> str:
        return f"{self.scope or 'no token'}{', known' if self.known else ''}"


class Conformance:
    """Runs of schemathesis against a target.

    Args:
        target: the server.
        tally: where cases are counted.
        name: of the basis that known paths lead to; a new one, since cases delete what they find.
    """

    def __init__(self, target: Target, tally: Tally, name: str) -> None:
        self._target = target
        self._tally = tally
        self._catalog = Catalog(target.settings.catalog_address)
        with client(target, "admin") as http:
            self._known = _prepare(http, name)

    def run(self, sender: Sender, phase: Phase, cases: int, seed: int) -> int:
        """Run one phase of schemathesis's, for about so many cases; answers how many it were.

        What is begun is ended; `coverage` is one piece of some 270 cases.
        """
        kind, sent = f"openapi: {sender}", 0
        stream = from_schema(self._schema(sender, phase, cases, seed)).execute()
        for event in stream:
            match event:
                case ScenarioFinished(recorder=recorder):
                    sent += self._count(kind, recorder)
                case NonFatalError(value=error):
                    self._tally.complain(kind, f"{type(error).__name__}: {error}", event.label)
            if sent >= cases:
                stream.stop()
        return sent

    def _schema(self, sender: Sender, phase: Phase, cases: int, seed: int) -> Any:
        own = None
        settings: dict[str, Any] = {
            "seed": seed,
            "continue-on-failure": True,
            "request-timeout": DEADLINE_SECONDS,
            "max-stream-events": 5,
            "generation": {
                "max-examples": max(1, cases // OPERATIONS),
                "no-shrink": True,
                "database": "none",
            },
            "phases": {name: {"enabled": name == phase} for name in ("examples", *PHASES)},
            # What is sent as it should be may be refused all the same, for what is stored; what is
            # not, for more reasons than the check knows of.
            "checks": {
                "positive_data_acceptance": {"enabled": False},
                "negative_data_rejection": {"expected-statuses": ["4XX"]},
            },
            "suppress-health-check": ["all"],
        }
        if sender.scope is not None:
            own, secret = self._token(sender.scope)
            settings["headers"] = {"Authorization": f"Bearer {secret}"}
        if sender.known:
            settings["parameters"] = self._known
        schema = schemathesis.openapi.from_url(
            f"{self._target.url}/openapi.json", config=schemathesis.Config.from_dict(settings)
        )

        @schema.hook
        def filter_case(context: object, case: Any) -> bool:
            """Not to revoke the token that all else is sent with."""
            return own is None or (case.path_parameters or {}).get("token_id") != own

        return schema

    def _token(self, scope: Scope) -> tuple[str, str]:
        with self._catalog.writing() as session:
            token = tokens.create(session, "fuzz", NAMESPACE, scope, datetime.now(UTC))
        return token.id, token.secret

    def _count(self, kind: str, recorder: ScenarioRecorder) -> int:
        for case_id, interaction in recorder.interactions.items():
            request = interaction.request
            case = f"{request.method} {request.uri[:300]} {(request.body or b'')[:300]!r}"
            response = interaction.response
            if response is None:
                self._tally.count(kind, "silent", 0.0, case)
                self._tally.complain(kind, "no answer came", case)
            else:
                self._tally.count(kind, response.status_code, response.elapsed, case)
            for failure in _failures(recorder, case_id):
                self._tally.complain(kind, f"{recorder.label}: {failure}", case)
        return len(recorder.interactions)


def _prepare(http: httpx.Client, name: str) -> dict[str, object]:
    """Put something there for every kind of path; answers the parameters that lead to it.

    Without them hardly a request would get beyond "not found".
    """
    bases = [made(seed, (Shape(), Shape("down"))) for seed in (1, 2)]
    for basis in bases:
        publish(http, f"{NAMESPACE}/{name}", basis)
    alias = http.put(
        f"/v1/bases/{NAMESPACE}/{name}/aliases/prod",
        json={"version": 1},
        headers={"If-None-Match": "*"},
    )
    assert alias.status_code == 200, alias.text
    opened = http.post("/v1/calibrations", json=manifest() | {"name": f"{NAMESPACE}/{name}"})
    calibration = opened.json()["id"]
    assert put(http, calibration, 0, dense_frame(0)).status_code == 201
    job = http.post(f"/v1/calibrations/{calibration}/finish").json()["id"]
    known = {
        "namespace": NAMESPACE,
        "name": name,
        "version": 1,
        "alias": "prod",
        "file": "up.safetensors",
        "a": bases[0].digest,
        "b": bases[1].digest,
        "calibration_id": calibration,
        "job_id": job,
    }
    return {f"path.{parameter}": value for parameter, value in known.items()}


def _failures(recorder: ScenarioRecorder, case_id: str) -> Iterator[str]:
    for check in recorder.checks.get(case_id, ()):
        if check.failure_info is not None:
            failure = check.failure_info.failure
            yield f"{check.name}: {failure.title}: {failure.message[:500]}"

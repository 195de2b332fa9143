"""Records of trainings made by hand, of any length and any number of groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import exp
from pathlib import Path

import numpy as np

from sparsegrad_client.training.record import (
    BasisFacts,
    EndLine,
    EvaluationLine,
    FitLine,
    GroupFacts,
    GroupFit,
    Line,
    Machine,
    Memory,
    RunFacts,
    StepLine,
    TrainingRecord,
)
from sparsegrad_client.training.recording import Recorder

VALUES, ENTRIES = 600_000, 6_000  # of each group


def run_facts(groups: Sequence[str] = ("up", "down"), **members: object) -> RunFacts:
    """The facts of a run of a hundred steps."""
    facts = RunFacts(
        started=datetime(2026, 11, 23, 12, 30, tzinfo=UTC),
        model="tiny",
        dataset="reviews",
        basis=BasisFacts(reference="team/tiny@1", digest=f"sha256:{'7' * 64}"),
        engine="folded",
        selection="dynamic",
        groups={
            name: GroupFacts(
                layers=2, values=VALUES, entries=ENTRIES, density=0.01, calibration=0.6 + place / 99
            )
            for place, name in enumerate(groups)
        },
        steps=100,
        batch_size=16,
        lr=1e-3,
        head_lr=5e-4,
        seed=1,
        metric="accuracy",
        head_values=300,
        model_values=2 * VALUES,
        versions={"python": "3.11", "torch": "2.13"},
        machine=Machine(
            device="cpu", processor="x86_64", cores=2, memory=8 * 10**9, system="Linux"
        ),
    )
    return facts.model_copy(update=members)


def run_lines(run: RunFacts, steps: int = 100) -> Iterator[Line]:
    """What a run writes that goes well, to its end."""
    noise, seconds = np.random.default_rng(0), 0.0
    yield EvaluationLine(step=0, seconds=0, loss=0.7, score=0.5)
    for step in range(1, steps + 1):
        part = step / steps
        touched = round(VALUES * 0.3 * (1 - exp(-4 * part)))
        yield StepLine(
            step=step,
            seconds=(seconds := seconds + 0.2 + 0.02 * noise.random()),
            loss=0.7 * exp(-2 * part) + 0.1 * noise.random(),
            lr=1e-3 * (1 - part),
            head_lr=5e-4 * (1 - part),
            memory=Memory(process=round(5e8 * (1 + part / 4)), device=round(3e8)),
            updated=dict.fromkeys(run.groups, ENTRIES),
            touched={name: touched + 999 * place for place, name in enumerate(run.groups)},
        )
        if step % 10 == 0 or step == 1:
            energies = {name: 0.5 + 0.1 * noise.random() for name in run.groups}
            yield FitLine(
                step=step,
                groups={
                    name: GroupFit(energy=energy, original=0.4, captured=1)
                    for name, energy in energies.items()
                },
            )
    yield EvaluationLine(step=steps, seconds=steps * 0.3, loss=0.4, score=0.83)
    yield EndLine(step=steps, seconds=steps * 0.3)


def training_record(run: RunFacts | None = None, *lines: Line) -> TrainingRecord:
    """A record of these lines, or of a run that goes well."""
    run = run or run_facts()
    return TrainingRecord(run, lines or tuple(run_lines(run)))


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Write a record as a training does."""
    with Recorder.start(folder, record.run) as recorder:
        for line in record.lines:
            recorder.write(line)

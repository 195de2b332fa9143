"""Curves of a training: what the record says, however long it is and however many its groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.pictures import assert_words_can_be_read, pixels_of
from support.records import ENTRIES, VALUES, run_facts, run_lines, training_record

from sparsegrad_client.report.figures import (
    fit,
    learning_rates,
    losses,
    machine,
    touched_so_far,
)
from sparsegrad_client.training.record import (
    EvaluationLine,
    Line,
    Memory,
    StepLine,
    TrainingRecord,
)

Draw = Callable[[TrainingRecord], Figure | None]
EVERY: tuple[Draw, ...] = (losses, learning_rates, touched_so_far, fit, machine)
STEP = StepLine(step=1, seconds=0.5, loss=0.7, lr=1e-3, updated={"up": 5}, touched={"up": 5})


def drawn(draw: Draw, record: TrainingRecord) -> Figure:
    figure = draw(record)
    assert figure is not None
    return figure


def record_of(groups: Sequence[str], steps: int) -> TrainingRecord:
    run = run_facts(groups)
    return training_record(run, *run_lines(run, steps))


def with_steps(record: TrainingRecord, **members: object) -> TrainingRecord:
    """The record with other values in each of its steps."""
    lines: list[Line] = [
        line.model_copy(update=members) if isinstance(line, StepLine) else line
        for line in record.lines
    ]
    return TrainingRecord(record.run, tuple(lines))


@pytest.mark.parametrize("draw", EVERY)
@pytest.mark.parametrize(
    ("groups", "steps"), [(1, 1), (2, 2), (6, 100), (7, 30), (30, 100), (2, 6001)]
)
def test_a_training_of_any_length_and_any_groups_can_be_read(
    draw: Draw, groups: int, steps: int
) -> None:
    names = [f"model.layers.{place}.mlp.gate_up_projection" for place in range(groups)]
    figure = drawn(draw, record_of(names, steps))
    assert_words_can_be_read(figure)
    for axes in figure.axes:
        assert pixels_of(figure, axes).std() > 0.005


@pytest.mark.parametrize("draw", EVERY)
def test_what_the_record_does_not_have_is_not_drawn(draw: Draw) -> None:
    assert draw(TrainingRecord(run_facts(), ())) is None


def test_each_loss_is_drawn_and_evaluations_beside() -> None:
    record = training_record()
    loss, score = drawn(losses, record).axes
    steps = record.of(StepLine)
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(s.step, s.loss) for s in steps])
    evaluations = record.of(EvaluationLine)
    np.testing.assert_allclose(loss.lines[2].get_xydata(), [(e.step, e.loss) for e in evaluations])
    np.testing.assert_allclose(
        score.lines[0].get_xydata(), [(e.step, e.score) for e in evaluations]
    )
    assert score.get_title("left") == "Accuracy"


def test_without_a_metric_there_is_no_panel_for_it() -> None:
    record = training_record(run_facts(metric=None), EvaluationLine(step=0, seconds=0, loss=0.7))
    assert len(drawn(losses, record).axes) == 1


def test_scores_that_fall_are_named_away_from_their_line() -> None:
    found = [EvaluationLine(step=s, seconds=s, loss=1, score=1 - s / 9) for s in range(3)]
    assert_words_can_be_read(drawn(losses, training_record(run_facts(), *found)))


def test_the_share_of_a_groups_weights_that_was_touched_is_drawn() -> None:
    record = training_record()
    so_far, each = drawn(touched_so_far, record).axes
    steps = record.of(StepLine)
    for axes, name, counts in (
        (so_far, "down", [step.touched["down"] for step in steps]),
        (each, "down", [ENTRIES] * len(steps)),
    ):
        line = axes.lines[list(record.run.groups).index(name)]
        np.testing.assert_allclose(line.get_ydata(), np.array(counts) / VALUES)
    assert so_far.get_ylim()[0] == each.get_ylim()[0] == 0


def test_one_learning_rate_or_two() -> None:
    (axes,) = drawn(learning_rates, training_record()).axes
    assert [text.get_text() for text in axes.texts] == ["everything else", "sparse layers"]
    (axes,) = drawn(learning_rates, with_steps(training_record(), head_lr=None)).axes
    assert [text.get_text() for text in axes.texts] == ["sparse layers"]


def test_speed_is_steps_by_the_time_between_them() -> None:
    steps = [STEP.model_copy(update={"step": n, "seconds": n * 0.25}) for n in range(1, 9)]
    (axes,) = drawn(machine, training_record(run_facts(["up"]), *steps)).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.full(7, 4.0))


def test_one_step_has_its_memory_but_no_speed() -> None:
    (memory,) = drawn(machine, record_of(["up"], 1)).axes
    assert memory.get_ylabel() == "GB"


def test_memory_is_drawn_as_far_as_the_system_says() -> None:
    with_process = with_steps(training_record(), memory=Memory(process=2 * 10**9))
    speed, memory = drawn(machine, with_process).axes
    assert speed.get_ylabel() == "steps per second"
    assert "process 2.00" in {text.get_text() for text in memory.texts}
    np.testing.assert_allclose(memory.lines[0].get_ydata(), 2.0)
    assert len(memory.lines) == 1
    without = with_steps(training_record(), memory=Memory())
    assert len(drawn(machine, without).axes) == 1


def test_a_name_is_taken_for_no_mathematics() -> None:
    assert_words_can_be_read(drawn(touched_so_far, record_of(["$x^2$", r"\frac{"], 10)))

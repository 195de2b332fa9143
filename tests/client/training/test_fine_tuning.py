"""Fine-tuning in a basis that fits, and in one that does not, against a real server."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.servers import RunningServer

from sparsegrad_client import Basis, BasisMisfit, calibrate, fetch_basis, load_adapter, merge
from sparsegrad_client.adapters import read_adapter
from sparsegrad_client.calibration.run import COLLECTING
from sparsegrad_client.connection import open_service
from sparsegrad_client.training.evaluation import evaluate
from sparsegrad_client.training.fine_tuning import FineTuning, Recalibration, fine_tune
from sparsegrad_client.training.loop import Schedule
from sparsegrad_client.training.outcome import Outcome
from sparsegrad_client.training.output import check_output
from sparsegrad_client.training.record import (
    BasisLine,
    EndLine,
    EvaluationLine,
    FitLine,
    MisfitLine,
    StepLine,
    read_record,
)
from sparsegrad_client.training.tasks import Task
from sparsegrad_shared.errors import CorruptFile, InvalidInput

MakeTask = Callable[[int], Task]
Progress = Callable[[str, int, int], None]

OURS, THEIRS = 1, 2  # seeds of two models that have nothing in common but their shape
BATCH = 4
STEPS = 20  # of training, in two epochs
MISFIT_AT = 16  # the fifth step that is looked at
HOW = FineTuning(schedule=Schedule(epochs=2), lr=1e-3)


@pytest.fixture(autouse=True)
def _at_the_team_server(
    client_home: Path, team_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEGRAD_SERVER", team_server.url)
    monkeypatch.setenv("SPARSEGRAD_TOKEN", team_server.token)


def _basis(task: Task) -> Basis:
    batches = task.batches(task.table, batch_size=BATCH)
    torch.manual_seed(0)
    return calibrate(task.model, batches, f"team/{uuid.uuid4().hex}", steps=6, held_out=3)


def _again(number: int = 4) -> Recalibration:
    return Recalibration(steps=number, held_out=1)


def _quiet(phase: str, completed: int, total: int) -> None:
    return None


def _tune(
    task: Task,
    basis: Basis,
    output: Path,
    recalibration: Recalibration | None = None,
    *,
    progress: Progress = _quiet,
    seed: int = 0,
    **how: Any,
) -> Outcome:
    torch.manual_seed(0)
    return fine_tune(
        task,
        basis,
        FineTuning(**how) if how else HOW,
        train_on=task.batches(
            task.table.sample(STEPS * BATCH // 2, 0), batch_size=BATCH, seed=seed
        ),
        evaluate_on=task.batches(task.table, batch_size=BATCH, shuffle=False),
        output=output,
        progress=progress,
        recalibration=recalibration,
    )


def test_a_basis_of_the_models_own_is_not_left(make_task: MakeTask, tmp_path: Path) -> None:
    basis = _basis(make_task(OURS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = _tune(make_task(OURS), basis, tmp_path / "out", _again())
    assert outcome.recalibrated is None
    assert not (tmp_path / "out" / "recalibration").exists()
    assert {fit.misfit for fit in outcome.fits.values()} == {None}


def test_a_basis_of_another_model_is_warned_of(make_task: MakeTask, tmp_path: Path) -> None:
    basis = _basis(make_task(THEIRS))
    with pytest.warns(BasisMisfit, match="--recalibrate"):
        outcome = _tune(make_task(OURS), basis, tmp_path / "out")
    record = read_record(tmp_path / "out")
    found = {line.group: line for line in record.of(MisfitLine)}
    assert found
    for name, line in found.items():
        fit = outcome.fits[name]
        assert fit.misfit == line.step
        assert line.energy < line.calibration == fit.calibration
        assert line.energy < line.original


def test_a_training_leaves_a_basis_that_does_not_fit_and_loses_nothing(
    make_task: MakeTask, tmp_path: Path
) -> None:
    theirs = _basis(make_task(THEIRS))
    task = make_task(OURS)
    told: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = _tune(
            task, theirs, tmp_path / "out", Recalibration(None, None, 4, 1, told.append)
        )
    change = outcome.recalibrated
    assert change is not None
    assert (change.step, change.before) == (MISFIT_AT, str(theirs))
    assert change.after == str(theirs).replace("@1", "@2")
    assert change.misfits == tuple(map(str, told))
    for misfit in told:
        was, now = change.energies[misfit.group]
        assert was == misfit.calibration
        assert now is not None
        assert now > misfit.energy

    record = read_record(tmp_path / "out")
    assert [line.step for line in record.of(StepLine)] == list(range(1, STEPS + 1))
    assert [line.loss for line in record.of(StepLine)] == outcome.losses
    seconds = [line.seconds for line in record.of(StepLine)]
    assert seconds == sorted(seconds)
    (changed,) = record.of(BasisLine)
    assert (changed.step, changed.basis.reference) == (MISFIT_AT, change.after)
    assert changed.calibration == {name: now for name, (_, now) in change.energies.items()}
    since = [line.step - MISFIT_AT for line in record.of(FitLine) if line.step > MISFIT_AT]
    assert since == [1, 2, 4]
    assert outcome.fits.keys() == change.energies.keys()
    assert {line.group for line in record.of(MisfitLine)} == {misfit.group for misfit in told}
    assert [line.step for line in record.of(EvaluationLine)] == [0, STEPS]
    assert record.of(EndLine)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["losses"] == outcome.losses

    loaded = make_task(OURS).model
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of weights that are not the same to the last bit
        load_adapter(loaded, tmp_path / "out" / "recalibration" / "adapter", theirs)
        merge(loaded)
        load_adapter(loaded, tmp_path / "out" / "adapter", fetch_basis(change.after))
    batches = task.batches(task.table, batch_size=BATCH, shuffle=False)
    assert evaluate(loaded, batches).loss == pytest.approx(outcome.after.loss, rel=1e-5)


@pytest.mark.parametrize(("phase", "at"), [(COLLECTING, 2), ("training", MISFIT_AT + 2)])
def test_wherever_it_is_cut_off_after_that_it_goes_on_to_the_same_end(
    make_task: MakeTask, tmp_path: Path, phase: str, at: int
) -> None:
    def cut(present: str, completed: int, total: int) -> None:
        if (present, completed) == (phase, at):
            raise KeyboardInterrupt

    theirs = _basis(make_task(THEIRS))
    whole = _tune(make_task(OURS), theirs, tmp_path / "whole", _again())
    with pytest.raises(KeyboardInterrupt) as stopped:
        _tune(make_task(OURS), theirs, tmp_path / "out", _again(), progress=cut)
    assert "goes on from there" in "".join(stopped.value.__notes__)
    resumed = _tune(make_task(OURS), theirs, tmp_path / "out", _again())
    assert resumed.losses == whole.losses
    assert resumed.recalibrated == whole.recalibrated
    assert resumed.after == whole.after
    ends = [read_adapter(tmp_path / name / "adapter") for name in ("whole", "out")]
    assert ends[0].basis_digest == ends[1].basis_digest
    for name, delta in ends[0].layers.items():
        assert torch.equal(delta.values, ends[1].layers[name].values), name
    lines = read_record(tmp_path / "out").of(StepLine)
    assert [line.loss for line in lines] == whole.losses


def test_what_was_cut_off_takes_the_same_options_only(make_task: MakeTask, tmp_path: Path) -> None:
    def cut(present: str, completed: int, total: int) -> None:
        if present == COLLECTING:
            raise KeyboardInterrupt

    theirs = _basis(make_task(THEIRS))
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        _tune(make_task(OURS), theirs, output, _again(), progress=cut)
    with pytest.raises(InvalidInput, match="give --recalibrate and the options that it had"):
        check_output(output)
    with pytest.raises(InvalidInput, match="give the same options as then"):
        _tune(make_task(OURS), theirs, output, _again(), seed=1)
    (output / "recalibration" / "switch.json").write_text("{}")
    with pytest.raises(CorruptFile, match="switch.json: not what was once written"):
        _tune(make_task(OURS), theirs, output, _again())


def test_a_basis_without_a_name_is_refused_before_anything_is_trained(
    make_task: MakeTask, tmp_path: Path
) -> None:
    basis = fetch_basis(_basis(make_task(OURS)).digest)
    with pytest.raises(InvalidInput, match="--recalibrate-name"):
        _tune(make_task(OURS), basis, tmp_path / "out", _again())
    assert not (tmp_path / "out").exists()


def test_a_training_that_was_cut_off_before_begins_anew_and_keeps_its_record(
    make_task: MakeTask, tmp_path: Path
) -> None:
    def cut(present: str, completed: int, total: int) -> None:
        if (present, completed) == ("training", 3):
            raise KeyboardInterrupt

    basis = _basis(make_task(OURS))
    with pytest.raises(KeyboardInterrupt):
        _tune(make_task(OURS), basis, tmp_path / "out", progress=cut)
    outcome = _tune(make_task(OURS), basis, tmp_path / "out")
    assert len(outcome.losses) == STEPS
    kept = read_record(tmp_path / "out" / "training.1.jsonl")
    assert [line.loss for line in kept.of(StepLine)] == outcome.losses[:3]
    assert not kept.finished


def test_what_was_learned_is_kept_whatever_becomes_of_measuring_it(
    make_task: MakeTask, tmp_path: Path
) -> None:
    def cut(present: str, completed: int, total: int) -> None:
        if present == "evaluating after":
            raise KeyboardInterrupt

    task = make_task(OURS)
    basis = _basis(make_task(OURS))
    with pytest.raises(KeyboardInterrupt):
        _tune(task, basis, tmp_path / "out", progress=cut)
    loaded = make_task(OURS).model
    load_adapter(loaded, tmp_path / "out" / "adapter", basis)
    torch.testing.assert_close(merge(loaded).state_dict(), merge(task.model).state_dict())


def test_a_calibration_that_has_expired_meanwhile_is_made_anew(
    make_task: MakeTask, tmp_path: Path
) -> None:
    def cut(present: str, completed: int, total: int) -> None:
        if (present, completed) == (COLLECTING, 2):
            raise KeyboardInterrupt

    theirs = _basis(make_task(THEIRS))
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        _tune(make_task(OURS), theirs, output, _again(), progress=cut)
    written = json.loads((output / "recalibration" / "switch.json").read_text())
    with open_service() as service:
        service.expire_calibration(written["calibration"])
    resumed = _tune(make_task(OURS), theirs, output, _again())
    assert resumed.recalibrated is not None
    assert resumed.recalibrated.after == str(theirs).replace("@1", "@2")

"""The record of a training: what is written is read, also after a kill, and nothing else is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegrad_client.training.record import (
    RECORD_FILE,
    BasisFacts,
    EndLine,
    EvaluationLine,
    FitLine,
    GroupFacts,
    GroupFit,
    Line,
    Machine,
    MisfitLine,
    RunFacts,
    StepLine,
    read_record,
)
from sparsegrad_client.training.recording import Recorder
from sparsegrad_shared.errors import CorruptFile, InvalidInput

RUN = RunFacts(
    started=datetime(2026, 11, 23, tzinfo=UTC),
    model="tiny",
    basis=BasisFacts(reference="team/tiny@1", digest=f"sha256:{'0' * 64}"),
    engine="folded",
    selection="dynamic",
    groups={"up": GroupFacts(layers=2, values=200, entries=2, density=0.01, calibration=0.7)},
    lr=1e-3,
    model_values=1000,
    versions={"torch": "2"},
    machine=Machine(device="cpu", processor="x86_64", cores=2, memory=None, system="Linux"),
)


def _step(step: int, loss: float = 1.0) -> StepLine:
    return StepLine(step=step, seconds=step, loss=loss, lr=1e-3, updated={"up": 2}, touched={})


LINES: tuple[Line, ...] = (
    EvaluationLine(step=0, seconds=0, loss=0.7, score=0.5),
    _step(1),
    FitLine(step=1, groups={"up": GroupFit(energy=0.5, original=0.4, captured=1.0)}),
    MisfitLine(step=1, group="up", energy=0.5, original=0.6, calibration=0.7),
    _step(2),
    EndLine(step=2, seconds=2.0),
)


def _written(folder: Path, *lines: Line) -> Path:
    with Recorder.start(folder, RUN) as recorder:
        for line in lines:
            recorder.write(line)
    return folder / RECORD_FILE


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = _written(tmp_path, *LINES)
    for path in (file, tmp_path):
        record = read_record(path)
        assert record.run == RUN
        assert record.lines == LINES
        assert record.finished
        assert record.of(StepLine) == (LINES[1], LINES[4])


def test_each_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Recorder.start(tmp_path, RUN) as recorder:
        for count, line in enumerate(LINES, start=1):
            recorder.write(line)
            assert read_record(tmp_path).lines == LINES[:count]


def test_wherever_a_kill_cuts_the_file_the_lines_before_are_read(tmp_path: Path) -> None:
    file = _written(tmp_path, *LINES)
    content = file.read_bytes()
    first = content.index(b"\n") + 1

    @settings(max_examples=50)
    @given(st.integers(first, len(content)))
    def check(length: int) -> None:
        file.write_bytes(content[:length])
        lines = content[first:length].count(b"\n")
        assert read_record(file).lines == LINES[:lines]

    check()


def test_a_resumed_run_counts_no_step_twice(tmp_path: Path) -> None:
    file = _written(tmp_path, *LINES[:-1])
    file.write_bytes(file.read_bytes() + b'{"kind":"step","st')  # cut short by a kill
    with Recorder.resume(tmp_path, step=1) as recorder:
        recorder.write(_step(2, loss=0.5))
        recorder.write(_step(3, loss=0.4))
    record = read_record(tmp_path)
    assert [(line.step, line.loss) for line in record.of(StepLine)] == [(1, 1), (2, 0.5), (3, 0.4)]
    assert record.of(MisfitLine) == (LINES[3],)
    assert not record.finished


def test_a_record_that_lies_there_is_kept(tmp_path: Path) -> None:
    _written(tmp_path, *LINES[:2])
    _written(tmp_path, *LINES[:3])
    _written(tmp_path)
    counts = [
        len(read_record(tmp_path / name).lines)
        for name in ("training.1.jsonl", "training.2.jsonl", RECORD_FILE)
    ]
    assert counts == [2, 3, 0]


def test_members_and_kinds_of_a_newer_program_are_left_out(tmp_path: Path) -> None:
    file = _written(tmp_path, _step(1))
    first, second = file.read_bytes().splitlines()
    newer = json.dumps(json.loads(second) | {"colour": "blue"})
    file.write_text(f"{first.decode()}\n" + '{"kind":"weather"}\n' + f"{newer}\n")
    assert read_record(file).lines == (_step(1),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected the facts of a run in the first line, found nothing"),
        ('{"loss": 1}\n', "this is no record"),
        ('{"kind": "run", "format": 2}\n', "a record of format 2, expected 1"),
        ('{"kind": "run", "format": 1}\n', "line 1: started: Field required"),
        ("step,loss\n1,0.5\n", "line 1: expected JSON, found b'step,loss'"),
        ("[1]\n", "line 1: expected an object"),
    ],
)
def test_a_foreign_file_is_refused_with_what_it_is(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / RECORD_FILE).write_text(content)
    with pytest.raises(CorruptFile, match=said):
        read_record(tmp_path)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = _written(tmp_path, *LINES)
    content = file.read_bytes().splitlines(keepends=True)
    for damaged, said in (
        (b'{"kind":"step","step":1\n', "line 3: expected JSON, found b'{"),
        (b'{"kind":"step","step":0}\n', "line 3: step.step: Input should be greater"),
    ):
        file.write_bytes(b"".join((*content[:2], damaged, *content[3:])))
        with pytest.raises(CorruptFile, match=re.escape(said)):
            read_record(file)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing" / "file"):
        with pytest.raises(InvalidInput, match="give the --output folder of a training"):
            read_record(path)

"""The report of a training, from its record: whole, cut off, done again, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.image import imread
from support import tiny_models
from support.calibrated import Calibrated, pictured_model
from support.html_pages import Parts, assert_complete, drawings, parsed
from support.records import run_facts, run_lines, training_record, write_record

from sparsegrad_client import build_optimizer, sparsify
from sparsegrad_client.fit import BasisFit
from sparsegrad_client.report.training_report import training_report, write_training_report
from sparsegrad_client.training.account import Account, Plan
from sparsegrad_client.training.account import run_facts as run_facts_of
from sparsegrad_client.training.loop import Schedule, Step
from sparsegrad_client.training.record import (
    RECORD_FILE,
    BasisFacts,
    BasisLine,
    EndLine,
    FitLine,
    MisfitLine,
    TrainingRecord,
    read_record,
)
from sparsegrad_client.training.recording import Recorder
from sparsegrad_shared.errors import CorruptFile, InvalidInput

PICTURES = {"loss", "fit", "entries-touched", "learning-rate", "speed-and-memory"}


def page_of(folder: Path) -> Parts:
    return parsed((folder / "report" / "index.html").read_text(encoding="utf-8"))


def said(record: TrainingRecord) -> str:
    (section,) = training_report(record).sections
    return "\n".join(part for part in section.parts if isinstance(part, str))


def test_every_picture_is_a_file_and_in_the_page(tmp_path: Path) -> None:
    write_record(tmp_path, training_record())
    assert write_training_report(tmp_path) == tmp_path / "report" / "index.html"
    files = {path.stem for path in (tmp_path / "report").glob("*.png")}
    assert files == PICTURES
    for name in files:
        image = imread(tmp_path / "report" / f"{name}.png")
        assert image.shape[1] == 1200
        assert image.std() > 0.02
    page = page_of(tmp_path)
    assert len(drawings(page)) == len(PICTURES)
    assert_complete(page)


def test_the_page_says_what_was_trained_and_what_came_of_it(tmp_path: Path) -> None:
    write_record(tmp_path, training_record())
    write_training_report(tmp_path)
    page = page_of(tmp_path)
    facts = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert page.texts("h1") == ["Training of tiny"]
    assert facts["basis"] == "team/tiny@1 (777777777777)"
    assert facts["steps"].startswith("100 of 100 done")
    assert {"0.830", "12,000", "up", "down"} & set(page.texts("td")) >= {"0.830", "up", "down"}
    assert "accuracy" in page.texts("th")


def test_a_training_that_was_cut_off_has_a_report_of_what_there_is(tmp_path: Path) -> None:
    run = run_facts()
    lines = [line for line in run_lines(run) if line.step <= 40 and not isinstance(line, EndLine)]
    write_record(tmp_path, training_record(run, *lines))
    with (tmp_path / RECORD_FILE).open("ab") as file:
        file.write(b'{"kind": "step", "st')
    write_training_report(tmp_path)
    (first, *_) = page_of(tmp_path).texts("p")
    assert first.startswith("This training has not come to its end: 40 of 100 done")


def test_a_training_that_did_no_step_yet_has_no_pictures_but_a_page(tmp_path: Path) -> None:
    write_record(tmp_path, TrainingRecord(run_facts(), ()))
    write_training_report(tmp_path)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html"}
    assert "0 of 100 done" in page_of(tmp_path).texts("p")[0]


def test_a_report_is_written_again_in_place_of_the_earlier(tmp_path: Path) -> None:
    run = run_facts()
    write_record(tmp_path, training_record(run, *run_lines(run)))
    write_training_report(tmp_path)
    write_record(tmp_path, training_record(run, EndLine(step=0, seconds=0.0)))
    write_training_report(tmp_path)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html"}


def test_a_report_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    write_record(tmp_path, training_record())
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").write_text("all I have")
    with pytest.raises(InvalidInput, match=r"thesis\.tex"):
        write_training_report(tmp_path)
    assert (tmp_path / "report" / "thesis.tex").read_text() == "all I have"


def test_a_folder_without_a_record_or_with_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="give the --output folder of a training"):
        write_training_report(tmp_path)
    (tmp_path / RECORD_FILE).write_text("{}\n")
    with pytest.raises(CorruptFile, match="line 1"):
        write_training_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_what_no_longer_fits_is_said_with_its_numbers_and_what_to_do() -> None:
    misfit = MisfitLine(step=30, group="up", energy=0.412, original=0.523, calibration=0.6)
    text = said(training_record(run_facts(), misfit))
    for expected in ("From step 30 on", "group up", "41.2%", "52.3%", "60.0%", "--recalibrate"):
        assert expected in text
    assert said(training_record()) == ""


def test_once_there_is_another_basis_it_is_named_and_nothing_is_left_to_do() -> None:
    new = BasisFacts(reference="team/tiny@2", digest=f"sha256:{'a' * 64}")
    text = said(
        training_record(
            run_facts(),
            MisfitLine(step=30, group="up", energy=0.412, original=0.523, calibration=0.6),
            BasisLine(step=30, basis=new, calibration={"up": 0.7, "down": 0.7}),
            EndLine(step=30, seconds=3.0),
        )
    )
    assert "team/tiny@2 (aaaaaaaaaaaa)" in text
    assert "--recalibrate" not in text


def test_a_real_training_is_drawn(calibrated: Calibrated, tmp_path: Path) -> None:
    model = pictured_model()
    sparsify(model, calibrated.basis)
    optimizer = build_optimizer(model)
    plan = Plan(
        model="pictured", dataset="tests", model_values=1, steps=8, batch_size=8,
        schedule=Schedule(), lr=1e-3, head_lr=5e-4, seed=0, metric="loss",
    )  # fmt: skip
    with BasisFit(model) as fit, Recorder.start(tmp_path, run_facts_of(model, fit, plan)) as file:
        account = Account(file, model, fit)
        for step in range(1, 9):
            loss = model(**tiny_models.classification_batch(step, rows=8, length=12)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            account.step(Step(step, 8, loss.item(), (1e-3, 5e-4)))
        account.end()
    write_training_report(tmp_path)
    page = page_of(tmp_path)
    assert_complete(page)
    assert len(drawings(page)) == len(PICTURES)
    cells = page.texts("td")
    last = read_record(tmp_path).of(FitLine)[-1]
    assert set(last.groups) == {"intermediate", "output"} <= set(cells)
    assert {f"{100 * group.energy:.1f}%" for group in last.groups.values()} <= set(cells)

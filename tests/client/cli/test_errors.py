"""Errors are one line that says what to do, and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Run

from sparsegrad_shared.terminal.exits import WRONG_USAGE

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing answers
OFFLINE = {"HF_ENDPOINT": NOWHERE}
TRAIN = ("train", "--model", ".", "--basis", "team/b", "--output", "out")


def _tsv(folder: Path) -> str:
    path = folder / "train.tsv"
    path.write_text("sentence\tlabel\n" + "A sentence.\t1\nAnother one.\t0\n" * 20)
    return str(path)


@pytest.mark.parametrize("name", ["llama-2-7b", "meta-llama/Llama-2-7b-hf"])
def test_a_hub_that_cannot_be_reached_says_which_model_and_what_to_pass(
    run: Run, tmp_path: Path, name: str
) -> None:
    failed = run("calibrate", "--model", name, HF_HOME=str(tmp_path / "hub"), **OFFLINE)
    assert failed.returncode == 1
    assert "meta-llama/Llama-2-7b-hf" in failed.stderr
    assert "pass --model FOLDER" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stderr.strip().count("\n") == 0


def test_a_data_set_that_cannot_be_reached_says_what_to_pass(run: Run, tmp_path: Path) -> None:
    failed = run(
        *TRAIN, "--dataset", "nyu-mll/glue:cola:train", HF_HOME=str(tmp_path / "hub"), **OFFLINE
    )
    assert failed.returncode == 1
    assert "nyu-mll/glue:cola:train" in failed.stderr
    assert "pass a local jsonl, csv, tsv or txt file" in failed.stderr


def test_a_server_that_is_down_is_named(run: Run) -> None:
    failed = run("bases", "list", "--server", NOWHERE)
    assert failed.returncode == 1
    assert NOWHERE in failed.stderr
    assert failed.stderr.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("calibrate", "--model", "m", "--dataset", "rows.tsv"), "there is no file rows.tsv"),
        (("calibrate", "--model", "./nowhere"), "expected a folder that holds a model"),
        ((*TRAIN, "--dataset", "rows.csv"), "there is no file rows.csv"),
        (
            (*TRAIN, "--dataset", "rows.csv", "--recalibrate-name", "team/next"),
            "--recalibrate-name says what --recalibrate publishes: give that too",
        ),
        # Found before any file is read: these files are not there.
        (
            (*TRAIN, "--dataset", "rows.csv", "--density", "2"),
            "density: expected a share over 0 and up to 1, got 2.0",
        ),
        (
            (*TRAIN, "--dataset", "rows.csv", "--block", "9by9"),
            "--block: expected rows and columns such as 192x64, got '9by9'",
        ),
        (
            (*TRAIN, "--dataset", "rows.csv", "--engine", "adapter", "--selection", "dynamic"),
            "engine='adapter' and selection='dynamic' contradict one another",
        ),
    ],
)
def test_wrong_arguments_are_named(run: Run, arguments: tuple[str, ...], said: str) -> None:
    failed = run(*arguments, HF_HUB_OFFLINE="1")
    assert failed.returncode == 1
    assert said in failed.stderr
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.strip().count("\n") == 0


def test_a_short_name_near_a_wrong_one_is_offered(run: Run, tmp_path: Path) -> None:
    failed = run("calibrate", "--model", "bert-bse", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert failed.stderr.endswith("; did you mean bert-base?\n")
    assert failed.stderr.strip().count("\n") == 0


def test_a_broken_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"text": "x"}\n{oops\n')
    failed = run(*TRAIN, "--dataset", "broken.jsonl", HF_HOME=str(tmp_path / "hub"))
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: data set broken.jsonl: cannot be read as .jsonl: ")
    assert failed.stderr.strip().count("\n") == 0


def test_an_encoder_without_labels_is_told_how_to_give_them(run: Run, minilm_folder: str) -> None:
    failed = run("calibrate", "--model", minilm_folder)
    assert failed.returncode == 1
    assert "--dataset and --label-column" in failed.stderr


def test_a_column_that_is_not_there_is_answered_with_those_that_are(
    run: Run, minilm_folder: str, tmp_path: Path
) -> None:
    failed = run(
        "calibrate",
        "--model",
        minilm_folder,
        "--dataset",
        _tsv(tmp_path),
        "--label-column",
        "klass",
    )
    assert failed.returncode == 1
    assert "no column 'klass'; it has sentence, label" in failed.stderr


def test_a_missing_evaluation_set_is_named_before_the_model_is_loaded(
    run: Run, tmp_path: Path
) -> None:
    failed = run(*TRAIN, "--dataset", _tsv(tmp_path), "--eval-dataset", "dev.tsv")
    assert failed.returncode == 1
    assert "there is no file dev.tsv" in failed.stderr


def test_blocks_that_are_no_slice_are_told_before_the_model_is_loaded(
    run: Run, tmp_path: Path
) -> None:
    arguments = ("--dataset", _tsv(tmp_path), "--label-column", "label", "--blocks", "every-third")
    failed = run("calibrate", "--model", "there-is-none", *arguments)
    assert failed.returncode == 1
    assert 'blocks: expected a slice such as "::3"' in failed.stderr


def test_training_never_writes_over_what_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    failed = run(*TRAIN, "--dataset", _tsv(tmp_path))
    assert failed.returncode == 1
    assert "expected a new or empty folder" in failed.stderr
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("calibrate",), "missing option --model / -m"),
        (("calibrate", "-m", "m", "--name", "short"), "--name / -n: expected a name such as"),
        (("calibrate", "-m", "m", "--steps", "many"), "--steps: expected a whole number"),
        (
            ("calibrate", "-m", "m", "--share", "all"),
            "--share: expected one of 'role', 'layer'",
        ),
        (
            ("calibrate", "-m", "m", "--stesp", "3"),
            "no such option: --stesp; did you mean --steps?",
        ),
        ((*TRAIN, "--dataset", "d", "--head-lr", "-1"), "--head-lr: expected at least 0"),
        (("calibrate", "-m", "m", "--seed", "9" * 23), "--seed: expected "),
        (("calbrate",), "did you mean 'calibrate'?"),
        (("bases", "lst"), "did you mean 'list'?"),
        (("bases", "show", "team/x@no"), "BASIS: expected"),
        (("bases", "alias", "set", "team/x", "prod"), "expected a version such as team/name@3"),
        (("bases", "alias", "delete", "team/x@1"), "expected an alias such as team/name:prod"),
        (("adapters", "add", "a", "b", "-o", "c", "--weights", "1"), "one for each of 2 adapters"),
        (("adapters", "add", "a", "b", "-o", "c", "--weights", "x"), "expected numbers such as"),
    ],
)
def test_wrong_usage_names_what_is_wrong_and_is_exit_code_2(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    failed = run(*arguments)
    assert failed.returncode == WRONG_USAGE, failed.stderr
    assert said in failed.stderr
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1


def test_debug_shows_the_trace(run: Run) -> None:
    failed = run("--debug", "calibrate", "--model", "./nowhere")
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr


def test_the_token_is_no_option(run: Run) -> None:
    assert "--token" not in run("calibrate", "--help").stdout
    assert run("bases", "list", "--token", "secret").returncode == 2

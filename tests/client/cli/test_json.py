"""Every command of the client gives a program one JSON document, or in brief what it asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command_lines import commands
from support.commands import Run

NAME = "team/json"
FILMS = [("A fine film.", "good"), ("Dull from start to end.", "bad")]
VERSION = {"name", "version", "digest", "manifest", "aliases", "tags", "pinned", "created"}
ALIAS = {"name", "alias", "version", "protected", "history"}
MARKS = {"name", "version", "tags", "pinned"}
# One after the other: what a command takes, and the members of its document, or of each in a list.
STEPS: list[tuple[str, set[str]]] = [
    ("bases list", VERSION),
    ("bases show team/json@1", VERSION),
    ("bases pull team/json", {"basis", "digest", "folder"}),
    ("bases report team/json -o report", {"basis", "digest", "report", "page"}),
    ("bases diff team/json@1 team/json@2", {"groups"}),
    ("bases alias set team/json@1 prod", ALIAS),
    ("bases promote team/json@2 team/json:prod", ALIAS),
    ("bases rollback team/json:prod", ALIAS),
    ("bases history team/json:prod", ALIAS),
    ("bases alias list team/json", {"name", "alias", "version", "protected"}),
    ("bases alias protect team/json:prod", ALIAS),
    ("bases alias unprotect team/json:prod", ALIAS),
    ("bases alias delete team/json:prod --yes", {"deleted", "version"}),
    ("bases tag team/json@1 one two", MARKS),
    ("bases untag team/json@1 one", MARKS),
    ("bases pin team/json@1", MARKS),
    ("bases unpin team/json@1", MARKS),
    ("bases export team/json@1 basis.tar", {"basis", "digest", "place"}),
    ("bases import basis.tar team/other", {"basis", "digest"}),
    ("bases delete team/json@2 --yes", {"deleted", "digest"}),
    ("adapters show out/adapter", {"basis", "layers"}),
    ("adapters add out/adapter out/adapter -o both --parameters first", {"basis", "layers"}),
    ("adapters merge out/adapter -m tiny-bert -o merged", {"merged", "basis", "model"}),
    ("adapters to-lora out/adapter -r 2 -o lora", {"lora", "rank", "error", "layers"}),
    ("adapters report out", {"page"}),
    ("dashboard", {"url", "token_file", "token"}),
]
BRIEF = {
    "bases list --name team/json": "team/json@1\n",
    "bases show team/json": "team/json@1\n",
    "bases tag team/json@1 three": "",
    "bases alias set team/json@1 prod": "team/json@1\n",
    "bases alias list team/json": "team/json:prod\n",
    "bases export team/json@1 other.tar": "other.tar\n",
    "bases import basis.tar team/third": "team/third@1\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of this takes place."""
    return tmp_path_factory.mktemp("json")


@pytest.fixture
def here(on_server: Run, folder: Path, tiny_folder: Path) -> Callable[..., Any]:
    """Run a command of the words of a line, in the one folder, with a home of its own."""
    if not (folder / "tiny-bert").exists():
        (folder / "tiny-bert").symlink_to(tiny_folder)
        rows = "".join("\t".join(film) + "\n" for film in FILMS * 20)
        (folder / "films.tsv").write_text("text\tverdict\n" + rows)

    def run(line: str, *options: str) -> subprocess.CompletedProcess[str]:
        home = str(folder / "home")
        return on_server(*line.split(), *options, cwd=folder, SPARSEGRAD_HOME=home)

    return run


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """What a program reads, which is all that there is."""
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_calibrating_and_training_give_documents(here: Callable[..., Any]) -> None:
    data = "-m tiny-bert -d films.tsv --label-column verdict"
    calibrate = f"calibrate {data} --steps 2 --held-out 1 --name {NAME}"
    first, second = (document(here(calibrate, "--seed", seed, "--json")) for seed in "01")
    assert (first["basis"], second["basis"]) == (f"{NAME}@1", f"{NAME}@2")
    assert set(first) == {"basis", "digest", "model", "report"}
    trained = document(here(f"train {data} --basis {NAME}@1 -o out", "--json"))
    assert {"basis", "digest", "metric", "outcome", "adapter", "merged"} <= set(trained)
    assert trained["outcome"]["after"]["loss"] > 0


@pytest.mark.parametrize(("line", "members"), STEPS, ids=[line for line, _ in STEPS])
def test_a_command_gives_one_document_and_says_nothing_else(
    here: Callable[..., Any], line: str, members: set[str]
) -> None:
    found = document(here(line, "--json"))
    for each in found if isinstance(found, list) else [found]:
        assert members <= set(each)


@pytest.mark.parametrize("line", BRIEF)
def test_quiet_says_in_brief_what_was_asked_for(here: Callable[..., Any], line: str) -> None:
    done = here(line, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, BRIEF[line], "")


def test_no_command_is_left_out() -> None:
    every = {
        called.removeprefix("sparsegrad-client ")
        for called, command in commands().items()
        if called.startswith("sparsegrad-client ") and not hasattr(command, "commands")
    }
    tried = {name for name in every if any(f"{line} ".startswith(f"{name} ") for line, _ in STEPS)}
    # The first two are above; the last takes minutes: `tests/client/quickstart` holds it.
    assert every - tried == {"calibrate", "train", "quickstart"}

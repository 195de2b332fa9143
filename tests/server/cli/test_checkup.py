"""`check` and `gc` as operators and their programs run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.litter import GROUP, Litter, scatter
from support.mounts import mounted
from support.workbench import Workbench

from sparsegrad_shared.terminal.exits import FAILED, FOUND_DAMAGE, WRONG_USAGE


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "SPARSEGRAD" not in name}
    return subprocess.run(
        [sys.executable, "-m", "sparsegrad_server", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean,
    )


@pytest.fixture
def litter(tmp_path: Path) -> Iterator[Litter]:
    bench = Workbench(tmp_path / "data")
    with closing(bench.catalog):
        yield scatter(bench)


def test_check_is_silent_on_standard_output_where_all_is_well(litter: Litter) -> None:
    answer = run("check", "--data", str(litter.bench.settings.data))
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr
    assert answer.stderr.splitlines()[-1] == "all is well"
    assert "`sparsegrad-server gc` would free" in answer.stderr


def test_check_says_in_a_line_what_is_wrong_and_what_to_do_and_exits_with_3(
    litter: Litter,
) -> None:
    data = str(litter.bench.settings.data)
    litter.bench.gradients.discard(litter.kept, GROUP.name, 1, "dense")
    answer = run("check", "--data", data)
    assert answer.returncode == FOUND_DAMAGE
    (line,) = answer.stdout.splitlines()
    assert line.startswith(f"calibration {litter.kept}, gradient {GROUP.name}/1: ")
    assert "; put its files back" in line
    said = json.loads(run("check", "--json", "--data", data).stdout)
    (finding,) = said["findings"]
    assert finding["where"] == f"calibration {litter.kept}, gradient {GROUP.name}/1"
    assert said["looked_at"]["gradients"] == len(litter.named())
    assert said["spare"]["things"] > 0


def test_gc_lists_on_a_dry_run_what_it_then_frees(litter: Litter) -> None:
    data = str(litter.bench.settings.data)
    listed = run("gc", "--dry-run", "--grace", "0", "--data", data)
    assert listed.returncode == 0, listed.stderr
    things = listed.stdout.splitlines()
    assert things
    assert all(line.partition("\t")[0].isdigit() for line in things)
    assert "would free" in listed.stderr
    freed = run("gc", "--grace", "0", "--yes", "--data", data)
    # An expired calibration takes its gradients' left-overs with it: those are not listed apart.
    assert set(freed.stdout.splitlines()) == set(things)
    assert run("gc", "--grace", "0", "--data", data).stdout == ""  # nothing left to ask about
    litter.assert_named_is_there()


def test_gc_frees_nothing_where_nobody_is_there_to_answer(litter: Litter) -> None:
    data = str(litter.bench.settings.data)
    answer = run("gc", "--grace", "0", "--data", data)
    assert (answer.returncode, answer.stdout) == (WRONG_USAGE, "")
    assert re.search(r"Free \d+ things, .*, for good\? Nobody .* --yes$", answer.stderr.strip())
    listed = json.loads(run("gc", "--dry-run", "--grace", "0", "--json", "--data", data).stdout)
    assert listed["dry_run"]
    assert listed["things"]
    assert listed["bytes"] == sum(thing["bytes"] for thing in listed["things"])


def test_gc_leaves_alone_by_default_what_is_young(litter: Litter) -> None:
    answer = run("gc", "--yes", "--data", str(litter.bench.settings.data))
    assert answer.returncode == 0, answer.stderr
    assert "staging" not in answer.stdout
    assert (litter.bench.settings.staging_folder / "dead-upload").exists()


def test_gc_tells_what_it_could_not_remove_and_frees_the_rest(litter: Litter) -> None:
    settings = litter.bench.settings
    with mounted(settings.staging_folder / "dead-upload-too" / "busy", 4096) as busy:
        answer = run("gc", "--grace", "0", "--yes", "--json", "--data", str(settings.data))
        assert answer.returncode == FAILED
        said = json.loads(answer.stdout)
        [stuck] = said["stuck"]
        assert stuck.startswith("staging: dead-upload-too: ")
        assert busy.name in stuck
        assert "staging: dead-upload" in {thing["what"] for thing in said["things"]}
        assert not (settings.staging_folder / "dead-upload").exists()
    answer = run("gc", "--grace", "0", "--yes", "--data", str(settings.data))
    assert answer.returncode == 0, answer.stderr
    assert "dead-upload-too" in answer.stdout
    litter.assert_named_is_there()


@pytest.mark.parametrize("command", ["check", "gc"])
def test_a_folder_without_a_service_is_said_to_be_none_and_stays_as_it_is(
    command: str, tmp_path: Path
) -> None:
    answer = run(command, "--data", str(tmp_path))
    assert answer.returncode == 1
    assert "--data" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []

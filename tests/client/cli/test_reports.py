"""``bases report --output`` and ``adapters report``: what they write, say and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.bases import Shape, made, publish
from support.commands import Run
from support.html_pages import assert_complete, drawings, parsed
from support.records import run_facts, run_lines, training_record, write_record
from support.servers import RunningServer

NAME = "team/pictures-of-bases"


@pytest.fixture(scope="session")
def basis(team_server: RunningServer) -> Iterator[str]:
    """A basis on the team's server."""
    headers = {"Authorization": f"Bearer {team_server.token}"}
    with httpx.Client(base_url=team_server.url, headers=headers, timeout=60) as client:
        publish(client, NAME, made(1, [Shape("up", d_out=12, d_in=8)]))
        yield NAME


def test_a_basis_is_drawn_into_a_folder(on_server: Run, basis: str, tmp_path: Path) -> None:
    text = on_server("bases", "report", basis)
    assert text.returncode == 0, text.stderr
    done = on_server("bases", "report", basis, "--output", "drawn")
    assert done.returncode == 0, done.stderr
    page = tmp_path / "drawn" / "index.html"
    assert done.stdout.startswith(text.stdout)
    assert done.stdout.splitlines()[-1].startswith("pictures  ")
    assert "drawing" in done.stderr
    found = parsed(page.read_text(encoding="utf-8"))
    assert_complete(found)
    pictures = {path.stem for path in page.parent.glob("*.png")}
    assert "spectra-up" in pictures
    assert len(drawings(found)) == len(pictures)


def test_other_programs_are_told_where_the_page_is(
    on_server: Run, basis: str, tmp_path: Path
) -> None:
    done = on_server("bases", "report", basis, "--output", str(tmp_path / "a"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["page"] == str(tmp_path / "a" / "index.html")
    assert told["report"]["groups"][0]["name"] == "up"
    brief = on_server("bases", "report", basis, "--output", str(tmp_path / "b"), "--quiet")
    assert (brief.stdout, brief.stderr) == (f"{tmp_path / 'b' / 'index.html'}\n", "")


def test_a_folder_that_is_in_use_is_refused_before_the_server_is_asked(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("all I have")
    done = run("bases", "report", NAME, "--output", "thesis", "--server", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "found chapter.tex; choose another folder" in done.stderr


def test_words_need_nothing_that_draws(on_server: Run, basis: str) -> None:
    assert on_server("bases", "report", basis, blocked=("matplotlib",)).returncode == 0
    missing = on_server("bases", "report", basis, "--output", "o", blocked=("matplotlib",))
    assert missing.returncode == 1
    assert "pip install 'sparsegrad-peft[client]'" in missing.stderr


def test_a_training_is_drawn_beside_its_record(run: Run, tmp_path: Path) -> None:
    write_record(tmp_path / "out", training_record())
    done = run("adapters", "report", "out", blocked=("torch", "transformers"))
    assert done.returncode == 0, done.stderr
    page = tmp_path / "out" / "report" / "index.html"
    assert done.stdout.split() == ["pictures", str(Path("out") / "report" / "index.html")]
    assert_complete(parsed(page.read_text(encoding="utf-8")))
    again = run("adapters", "report", "out", "--json")
    assert json.loads(again.stdout) == {"page": str(Path("out") / "report" / "index.html")}


def test_a_training_that_still_goes_on_is_drawn(run: Run, tmp_path: Path) -> None:
    facts = run_facts()
    lines = [line for line in run_lines(facts) if line.step < 20]
    write_record(tmp_path / "out", training_record(facts, *lines))
    assert run("adapters", "report", "out").returncode == 0


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("nowhere", "nowhere: there is no training.jsonl; give the --output folder of a training"),
        ("other", "expected the facts of a run; this is no record"),
    ],
)
def test_what_is_no_training_is_refused_in_one_line(
    run: Run, tmp_path: Path, folder: str, said: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "training.jsonl").write_text('{"loss": 1}\n')
    done = run("adapters", "report", folder)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert said in done.stderr

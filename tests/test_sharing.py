"""The page about sharing is true: its commands and its Python run as written, in that order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.bases import made, publish
from support.servers import RunningServer

PAGE = (Path(__file__).parents[1] / "docs" / "sharing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A team's server with two versions of team/films, and a person who may use it."""
    with RunningServer(tmp_path / "server") as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            for seed in (1, 2):
                publish(client, "team/films", made(seed, model="acme/bert", dataset="films"))
        yield os.environ | {
            "SPARSEGRAD_HOME": str(tmp_path / "home"),
            "SPARSEGRAD_SERVER": server.url,
            "SPARSEGRAD_TOKEN": server.token,
        }


def program_of(language: str, block: str) -> Iterator[list[str]]:
    """What to run for a block: Python as it is, each command of a shell's by itself."""
    if language == "python":
        yield ["-c", block]
        return
    for line in block.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "sparsegrad-client", line
        yield ["-c", "from sparsegrad_client.cli import main; main()", *arguments]


def test_the_page_runs_as_written(environment: dict[str, str], tmp_path: Path) -> None:
    ran = 0
    for language, block in BLOCKS:
        for program in program_of(language, block):
            if "calibrate" in program:  # no such model is here; test_docs.py has it
                continue
            done = subprocess.run(
                [sys.executable, *program],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{program}: {done.stderr}"
            ran += 1
    assert ran > 20


def test_every_route_shown_exists(tmp_path: Path) -> None:
    from sparsegrad_server.app import create_app
    from sparsegrad_server.settings import Settings

    described = create_app(Settings(data=tmp_path)).openapi()["paths"]
    exist = {
        (method.upper(), re.sub(r"\{.*?\}", "{}", path))
        for path, methods in described.items()
        for method in methods
    }
    rows = re.findall(r"^\| (`(?:GET|PUT|DELETE).*?) \|", PAGE, re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        methods = set(re.findall(r"GET|PUT|DELETE", row))
        for path in re.findall(r"[/…][^\s`?,]+", row):
            whole = path.replace("…", "/v1/bases/{}/{}")
            for method in methods:
                assert (method, re.sub(r"\{.*?\}", "{}", whole)) in exist, (method, whole)

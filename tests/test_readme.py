"""The README is true: its example runs as written, its commands and targets exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_lines import check

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands(program: str) -> list[str]:
    """Every line of a shell block that calls `program`, from the program on."""
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    return [line[line.index(program) :] for line in lines if program in line.split()]


def test_the_python_examples_run_as_written_one_after_the_other(tmp_path: Path) -> None:
    example = "\n".join(_blocks("python"))
    environment = os.environ | {"SPARSEGRAD_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    for name in ("SPARSEGRAD_SERVER", "SPARSEGRAD_TOKEN"):
        environment.pop(name, None)
    ran = subprocess.run(
        [sys.executable, "-c", example],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for folder in ("films-adapter", "films-run/adapter"):
        assert (tmp_path / folder / "adapter.safetensors").is_file()
    assert (tmp_path / "films-peft" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("program", ["sparsegrad-client", "sparsegrad-server"])
def test_every_command_shown_exists_with_its_options(program: str) -> None:
    commands = _commands(program)
    assert len(commands) >= 3
    for line in commands:
        check(line)


def test_every_make_target_shown_exists() -> None:
    targets = {line.split()[1] for line in _commands("make")}
    assert {"quickstart", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_every_file_named_exists() -> None:
    named = re.findall(r"`([\w.-]+\.(?:md|yml))`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_extra_named_exists() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"sparsegrad-peft\[(\w+)\]", README))
    assert named
    assert named <= set(project["optional-dependencies"])

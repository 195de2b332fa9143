"""`--help` needs nothing that an extra brings, so that it is quick, and shows examples."""

from __future__ import annotations

import pytest
from support.command_lines import commands
from support.commands import Run

EXTRAS = (
    "torch", "transformers", "datasets", "httpx", "safetensors", "numpy", "sklearn", "matplotlib",
)  # fmt: skip
COMMANDS = {
    tuple(called.split()[1:]): command
    for called, command in commands().items()
    if called.startswith("sparsegrad-client")
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_no_extra(run: Run, command: tuple[str, ...]) -> None:
    helped = run(*command, "--help", blocked=EXTRAS)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage: " in helped.stdout
    is_group = hasattr(COMMANDS[command], "commands")
    assert is_group or f"sparsegrad-client {' '.join(command)}" in helped.stdout


def test_version_is_the_distributions(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip() == f"sparsegrad-client {version('sparsegrad-peft')}"


@pytest.mark.parametrize(
    "command",
    [
        ("calibrate", "--model", "bert-base"),
        ("train", "--model", "m", "--basis", "a/b", "--dataset", "d", "--output", "o"),
        ("bases", "list"),
        ("adapters", "show", "a"),
        ("quickstart",),
    ],
    ids=lambda command: command[0],
)
def test_a_missing_extra_is_one_line_that_says_what_to_install(
    run: Run, command: tuple[str, ...]
) -> None:
    failed = run(*command, blocked=("torch", "transformers", "datasets", "httpx"))
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "pip install 'sparsegrad-peft[client]'" in failed.stderr

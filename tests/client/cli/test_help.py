"""`--help` needs nothing that an extra brings, and shows examples."""

from __future__ import annotations

import pytest
from support.commands import Run

EXTRAS = (
    "torch", "transformers", "datasets", "httpx", "safetensors", "numpy", "sklearn", "matplotlib",
)  # fmt: skip
COMMANDS = [
    (),
    ("calibrate",),
    ("train",),
    ("quickstart",),
    ("bases",),
    ("bases", "list"),
    ("bases", "show"),
    ("bases", "pull"),
    ("bases", "report"),
    ("bases", "diff"),
    ("bases", "alias"),
    ("bases", "alias", "set"),
    ("bases", "alias", "list"),
    ("bases", "alias", "delete"),
    ("bases", "alias", "protect"),
    ("bases", "alias", "unprotect"),
    ("bases", "promote"),
    ("bases", "rollback"),
    ("bases", "history"),
    ("bases", "tag"),
    ("bases", "untag"),
    ("bases", "pin"),
    ("bases", "unpin"),
    ("bases", "delete"),
    ("bases", "export"),
    ("bases", "import"),
    ("adapters",),
    ("adapters", "show"),
    ("adapters", "add"),
    ("adapters", "merge"),
    ("adapters", "to-lora"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_no_extra(run: Run, command: tuple[str, ...]) -> None:
    helped = run(*command, "--help", blocked=EXTRAS)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "Usage: " in helped.stdout
    is_group = not command or command[-1] in ("bases", "alias", "adapters")
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

"""The command line as a process of its own, as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Run


@pytest.fixture
def run(client_home: Path, tmp_path: Path) -> Run:
    """Run `sparsegrad-client` with arguments; `blocked` modules cannot be imported."""

    def run(
        *arguments: str, blocked: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        block = "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
        program = f"import sys\n{block}from sparsegrad_client.cli import main\nmain()\n"
        settings = {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"} | variables
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=os.environ | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def minilm_folder() -> str:
    """The folder of the real model that comes as a package."""
    from sparsegrad_client.quickstart.run import minilm

    return minilm().location

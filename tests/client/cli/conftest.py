"""The command line as a process of its own, as people run it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from support.commands import Run
from support.servers import RunningServer


@pytest.fixture
def run(client_home: Path, tmp_path: Path) -> Run:
    """Run `sparsegrad-client` with arguments; `blocked` modules cannot be imported."""

    def run(
        *arguments: str,
        blocked: tuple[str, ...] = (),
        cwd: Path = tmp_path,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        block = "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
        program = f"import sys\n{block}from sparsegrad_client.cli import main\nmain()\n"
        settings = {"COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"} | variables
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=os.environ | settings,
            cwd=cwd,
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


@pytest.fixture(scope="session")
def tiny_folder(minilm_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two small blocks with MiniLM's tokenizer, as a model folder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,  # with BERT's own 0.02 a small model hardly tells texts apart
    )
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(folder)
    return folder


@pytest.fixture
def on_server(run: Run, team_server: RunningServer) -> Run:
    """Run a command against the team's server, with its token."""
    return partial(
        run,
        SPARSEGRAD_SERVER=team_server.url,
        SPARSEGRAD_TOKEN=team_server.token,
        HF_HUB_OFFLINE="1",
    )

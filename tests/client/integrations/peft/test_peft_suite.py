"""PEFT's own test suite passes for the tuner, which it has never heard of.

The suite comes in PEFT's source distribution, which pip fetches once into the checkout's
``.cache``; `support.peft_suite` is the plugin that turns it on our tuner.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
CASES = 603  # that passed when this was written, with PEFT 0.21.2
SETTINGS = """
[pytest]
filterwarnings = ignore
markers =
    regression: PEFT's
    bitsandbytes: PEFT's
    single_gpu_tests: PEFT's
    multi_gpu_tests: PEFT's
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of the PEFT that is installed."""
    release = f"peft-{version('peft')}"
    archive = ROOT / ".cache" / "peft-suite" / f"{release}.tar.gz"
    if not archive.exists():
        _download(archive.parent, release.replace("-", "=="))
    folder = tmp_path_factory.mktemp("peft")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (folder / release / "tests" / "__init__.py").touch()  # its tests import one another
    return folder / release


def _download(folder: Path, requirement: str) -> None:
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if ran.returncode != 0:
        pytest.skip(f"the source distribution of {requirement} cannot be had: {ran.stderr[-300:]}")


def test_every_case_that_runs_without_a_hub_passes(sources: Path, tmp_path: Path) -> None:
    settings, results = tmp_path / "pytest.ini", tmp_path / "results.xml"
    settings.write_text(SETTINGS, encoding="utf-8")
    ours = {
        "SPARSEGRAD_HOME": str(tmp_path / "home"),
        "SPARSEGRAD_SERVER": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    # The command line of this run, and that it is a worker of several, are not the suite's matter.
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")}
    suite = ["tests/test_custom_models.py", "tests/test_config.py"]
    options = ["-c", str(settings), "--rootdir", str(sources), f"--junitxml={results}", "-q"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.peft_suite", *options, *suite],
        cwd=sources,
        env=inherited | ours,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    (totals,) = ElementTree.parse(results).getroot().iter("testsuite")  # noqa: S314  # our own file
    counts = {name: int(totals.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert (counts["failures"], counts["errors"]) == (0, 0)
    assert counts["tests"] - counts["skipped"] >= CASES

"""The notebook runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.pages import DOCS

nbclient = pytest.importorskip("nbclient", reason="the group `docs` is not installed")
pytest.importorskip("ipykernel", reason="the group `docs` is not installed")
import nbformat  # noqa: E402 - comes with nbclient

NOTEBOOK = DOCS / "notebooks" / "from-model-to-adapter.ipynb"
_SECONDS = 300


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs(notebook: nbformat.NotebookNode) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.fixture
def executed(
    notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> nbformat.NotebookNode:
    """It with its outputs: run here, or, where `TESTS_SITE` names a built site, by its build."""
    if "TESTS_SITE" in os.environ:
        built = Path(os.environ["TESTS_SITE"]).parent / "jupyter_execute" / "notebooks"
        return nbformat.read(built / NOTEBOOK.name, as_version=4)
    monkeypatch.setenv("SPARSEGRAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("SPARSEGRAD_SERVER", raising=False)
    resources = {"metadata": {"path": str(tmp_path)}}
    return nbclient.NotebookClient(notebook, timeout=_SECONDS, resources=resources).execute()


def test_it_runs_and_draws_and_its_adapter_is_the_trained_model(
    notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode
) -> None:
    assert [cell.source for cell in executed.cells] == [cell.source for cell in notebook.cells]
    outputs = [out for cell in executed.cells for out in cell.get("outputs", ())]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 4
    printed = "".join(out.text for out in outputs if out.output_type == "stream")
    before, after = map(float, re.findall(r"accuracy (?:before|after): +([\d.]+)", printed))
    assert after > before
    shares = re.findall(r"in the basis (\d+)%  original (\d+)%", printed)
    assert len(shares) == 2
    assert all(int(inside) > int(outside) for inside, outside in shares)

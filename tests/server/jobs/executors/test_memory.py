"""How much memory a worker may take: the setting, or what the system and the container leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparsegrad_server.jobs.executors.memory import free_in, free_memory, worker_memory
from sparsegrad_server.settings import Settings

FILES = {"memory.max": "1000000\n", "memory.current": "400000\n"}


@pytest.fixture
def group(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 50000\nactive_file 7\n")
    return tmp_path


def test_what_is_free_is_some_and_no_more_than_the_machine_has() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_memory() <= machine


def test_the_setting_wins(tmp_path: Path) -> None:
    assert worker_memory(Settings(data=tmp_path, worker_memory_bytes=1 << 40)) == 1 << 40


def test_a_container_s_limit_leaves_what_is_not_used_and_the_cache_of_files(group: Path) -> None:
    assert free_in(group) == 1_000_000 - 400_000 + 50_000


def test_a_container_over_its_limit_leaves_nothing(group: Path) -> None:
    (group / "memory.current").write_text("2000000")
    assert free_in(group) == 0


@pytest.mark.parametrize("missing", ["memory.max", "memory.stat"])
def test_a_group_without_a_limit_leaves_all(group: Path, missing: str) -> None:
    (group / missing).unlink()
    assert free_in(group) is None


def test_a_limit_of_max_is_none(group: Path) -> None:
    (group / "memory.max").write_text("max\n")
    assert free_in(group) is None

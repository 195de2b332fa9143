"""Folders that appear whole or not at all: an adapter's, killed at every line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sparsegrad_client.adapters.files import read_files
from sparsegrad_client.folders import left_over, new_folder
from sparsegrad_shared.errors import NotFound

# Writes adapter "1" whole; then, for each line of the module, forks a child that writes adapter
# "2" over a copy and dies at that line, without cleaning up, as by SIGKILL.
WRITER = """
import os, shutil, sys
from pathlib import Path
import safetensors.torch, torch
from sparsegrad_client import folders
from sparsegrad_client.adapters import files
from sparsegrad_shared.digests import digest_of

def write(path, value):
    data = safetensors.torch.save({"w": torch.full((3,), value)})
    config = files.AdapterConfig(
        basis_digest="sha256:" + "0" * 64, basis_reference=None, model=None,
        training=None, layers={}, parameters=("w",), tensors_digest=digest_of([data]),
    )
    files.write_files(path, data, config)

def die_at(line):
    left = line
    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename not in (files.__file__, folders.__file__):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os._exit(9)
        return trace
    sys.settrace(trace)

torch.set_num_threads(1)
root = Path(sys.argv[1])
for line in range(200):
    path = root / str(line) / "adapter"
    write(path, 1.0)
    child = os.fork()
    if child == 0:
        die_at(line)
        write(path, 2.0)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A folder for each line at which a save was killed; the last was not."""
    root = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-W", "ignore", "-c", WRITER, str(root)], check=True)
    return sorted(root.iterdir(), key=lambda path: int(path.name))


def _value(path: Path) -> float:
    return float(read_files(path)[1]["w"][0])


def test_a_save_that_is_killed_leaves_a_whole_adapter(killed: list[Path]) -> None:
    found = []
    for folder in killed:
        adapters = [folder / "adapter", *folder.glob(".adapter.*.old")]
        found.append({_value(path) for path in adapters if path.exists()})
    assert len(found) > 20
    assert found[0] == {1.0}
    assert found[-1] == {2.0}
    assert all(values <= {1.0, 2.0} and values for values in found)


def test_an_adapter_that_was_moved_aside_is_pointed_to(killed: list[Path]) -> None:
    between = [folder for folder in killed if not (folder / "adapter").exists()]
    assert between
    for folder in between:
        with pytest.raises(NotFound, match=r"cut off left the one before in .*\.old"):
            read_files(folder / "adapter")


def test_a_save_that_was_not_killed_leaves_nothing_beside_it(killed: list[Path]) -> None:
    assert [path.name for path in killed[-1].iterdir()] == ["adapter"]


def test_a_link_to_a_folder_stays_one_and_the_folder_is_replaced(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    for content in ("one", "two"):
        with new_folder(link, replacing={"file"}) as made:
            (made / "file").write_text(content)
        assert link.is_symlink()
        assert (elsewhere / "file").read_text() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]


def test_what_was_moved_aside_is_found_by_a_link_to_where_it_stood(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "adapter")
    aside = tmp_path / "elsewhere" / ".adapter.0123.old"
    aside.mkdir(parents=True)
    assert left_over(tmp_path / "link") == aside

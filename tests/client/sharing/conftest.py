"""A small basis as files, for tests of how bases travel."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.bases import MadeBasis, Shape, made

from sparsegrad_client.sharing.files import BasisFiles, open_folder

LONG = "g" * 100  # with the file's ending more than the 100 characters of a plain tar header


@pytest.fixture
def basis() -> MadeBasis:
    """Three groups, one of the longest name."""
    shapes = [Shape("up"), Shape(LONG, 6, 5, 3, 2), Shape("down", d_out=8, d_in=12)]
    return made(1, shapes, model="acme/tiny-bert", dataset="films")


@pytest.fixture
def files(basis: MadeBasis, tmp_path: Path) -> BasisFiles:
    """The basis in a folder."""
    return open_folder(basis.write(tmp_path / "basis"))

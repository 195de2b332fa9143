"""The pages do what they say: their code runs, and prints what they show."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stages
from support.command_lines import check, commands_in
from support.pages import DOCS, LANGUAGES, PAGES, PARSED, Block, blocks
from support.playing import difference

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUNNING = [page for page in PAGES if any(block.runs for block in blocks(page))]
ALONE = [page for page in RUNNING if page.stem not in ("tutorial", *stages.AFTER_TUTORIAL)]


def _parse_yaml(text: str) -> object:
    yaml = pytest.importorskip("yaml", reason="comes with Dask, which is not installed")
    return yaml.safe_load(text)


PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": _parse_yaml,
    "toml": tomllib.loads,
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_has_a_language_that_a_test_knows(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block}: write one of {LANGUAGES} after the fence"
    if block.reason is not None:
        assert len(block.reason.split()) >= 3, f"{block}: the reason has to say why"


@pytest.mark.parametrize("block", [it for it in BLOCKS if it.language in PARSED], ids=str)
def test_every_document_shown_can_be_read(block: Block) -> None:
    assert PARSERS[block.language](block.code)


@pytest.mark.parametrize("block", [it for it in BLOCKS if it.language == "sh"], ids=str)
def test_every_command_shown_exists_with_its_options(block: Block) -> None:
    parsed = subprocess.run(["bash", "-n"], input=block.code, text=True, capture_output=True)
    assert parsed.returncode == 0, parsed.stderr
    for line in commands_in(block.code):
        check(line)


@pytest.mark.parametrize("block", [it for it in BLOCKS if it.language == "python"], ids=str)
def test_all_python_shown_is_python(block: Block) -> None:
    ast.parse(block.code, str(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_output_shown_is_that_of_a_block_that_runs(page: Path) -> None:
    before = None
    for block in blocks(page):
        if block.language == "text" and block.reason is None:
            assert before is not None, f"{block}: there is no block before it"
            assert before.runs, f"{block}: {before} is not run"
        before = block


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.name)
def test_the_page_runs_as_written(page: Path, tmp_path: Path) -> None:
    with stages.STAGES.get(page.stem, stages.alone)(tmp_path) as stage:
        stage.play(page)


def test_an_output_may_differ_in_numbers_and_in_nothing_else() -> None:
    shown = "loss 0.51, 12 steps\n| a | 3 |\nsha256:0123abcdef\n"
    assert difference(shown, "loss 1.7e-3, 9 steps\n|  a | 12,000 |\nsha256:99aa00ff11\n") is None
    assert "loss" in str(difference(shown, "gain 0.51, 12 steps\n| a | 3 |\nsha256:01\n"))
    assert "sha" in str(difference(shown, "loss 1, 2 steps\n| a | 3 |\n"))
    assert "more was printed" in str(difference("a\n", "a\nb\n"))


def test_dots_stand_for_any_lines_and_within_a_line_for_any_text() -> None:
    assert difference("a\n…\nd\n", "a\nb\nc\nd\n") is None
    assert difference("a\n…\n", "a\nb\nc\n") is None
    assert difference("1\n…\n3\nb\n", "1\n2\n3\nb\n") is None  # numbers look alike
    assert difference("use --model … now\n", "use --model /some/folder now\n") is None
    assert difference("use --model … now\n", "use --model /some/folder then\n") is not None
    assert difference("a\n…\ne\n", "a\nb\n") is not None


def test_every_make_target_shown_exists() -> None:
    shown = {
        found
        for block in BLOCKS
        if block.language == "sh"
        for found in re.findall(r"^make ([a-z-]+)", block.code, re.MULTILINE)
    }
    assert {"quickstart", "test", "docs"} <= shown
    makefile = (DOCS.parent / "Makefile").read_text(encoding="utf-8")
    assert shown <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

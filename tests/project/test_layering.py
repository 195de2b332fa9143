"""Dependencies go one way: server → shared ← client."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "shared": {
        "sparsegrad_server",
        "sparsegrad_client",
        "torch",
        "transformers",
        "fastapi",
        "numpy",
    },
    "server": {"sparsegrad_client", "torch", "transformers"},
    "client": {"sparsegrad_server", "fastapi", "uvicorn", "starlette", "zarr", "sqlalchemy"},
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every top-level package that a file imports, with the line, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_imports_what_stands_above_or_beside_it(package: str) -> None:
    files = sorted((ROOT / package / f"sparsegrad_{package}").rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imports(path)
        if name in FORBIDDEN[package]
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sparsegrad_client.cli.app", {"torch", "transformers", "httpx", "numpy"}),
        ("sparsegrad_server.cli.app", {"fastapi", "uvicorn", "zarr", "sqlalchemy", "numpy"}),
        ("sparsegrad_server.app", {"torch", "transformers"}),
    ],
)
def test_a_module_loads_without_what_it_does_not_need(module: str, absent: set[str]) -> None:
    """Held in a fresh process: what is imported there is what `--help` waits for."""
    code = f"import sys, {module}; print(*sorted({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

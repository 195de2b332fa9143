"""Run the blocks of a page one after the other, as a person does who follows it.

A program of its own, so that a page starts from nothing::

    python play.py STEPS OUTPUTS

`STEPS` is a JSON list of ``[where, language, code]``. What each step prints on standard output is
appended to `OUTPUTS` as a JSON text, a line a step. The first step that fails ends the program.
Python shares one namespace; a shell leaves its exported variables and its folder to the next.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def in_python(where: str, code: str, names: dict[str, Any]) -> str:
    """Run Python; what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, where, "exec"), names)  # noqa: S102 - our own pages
    return printed.getvalue()


def in_shell(where: str, code: str, state: Path) -> str:
    """Run a shell script; what it printed."""
    script = f"set -euo pipefail\n{code}\n{{ pwd; env -0; }} > '{state}'\n"
    ran = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{ran.stdout}\n{where}: exit code {ran.returncode}")
    folder, variables = state.read_text().split("\n", 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in variables.split("\0") if pair)
    return ran.stdout


def main() -> None:
    """Play every step."""
    steps, outputs = map(Path, sys.argv[1:])
    # As the module that a person types into: what is pickled or spawned finds its names there.
    names: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        for where, language, code in json.loads(steps.read_text()):
            if language == "python":
                printed = in_python(where, code, names)
            else:
                printed = in_shell(where, code, Path(folder) / "state")
            with outputs.open("a") as log:
                log.write(json.dumps(printed) + "\n")


if __name__ == "__main__":
    main()

"""Playing a page: its blocks run in a folder, and what they print is held to what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from .pages import Block, blocks

_PLAYER = Path(__file__).parent / "play.py"
_SECONDS = 600
_DIGEST = re.compile(r"\b[0-9a-f]{6,}\b")
_NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
_RULE = re.compile(r"[\u2500-\u257f\s]+")  # spaces and the lines of a table
ANY = "…"


@dataclass
class Stage:
    """Where a page is played.

    Attributes:
        folder: the folder that a person would be in.
        environment: variables that differ from this process's.
        places: what stands in the page for a place that a test does not have, and what it has.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """All variables of the environment that a page is played in."""
        return _plain_environment() | dict(self.environment)

    def play(self, page: Path) -> None:
        """Run a page's blocks in order, and compare what they print with what it shows.

        Raises:
            AssertionError: when a block fails, or the page shows something else.
        """
        every = blocks(page)
        running = [block for block in every if block.runs]
        printed = dict(zip(running, self._outputs(page, running), strict=True))
        for before, after in pairwise(every):
            if after.language == "text" and after.reason is None:
                differing = difference(after.code, printed[before])
                assert differing is None, f"{after}: {differing}\nprinted:\n{printed[before]}"

    def _outputs(self, page: Path, running: Sequence[Block]) -> list[str]:
        steps, outputs = (self.folder / f".{page.stem}.{part}" for part in ("steps", "outputs"))
        steps.write_text(json.dumps([[str(it), it.language, self._placed(it)] for it in running]))
        outputs.unlink(missing_ok=True)
        ran = subprocess.run(
            [sys.executable, str(_PLAYER), str(steps), str(outputs)],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{page.name}\n{ran.stdout}\n{ran.stderr}"
        return [json.loads(line) for line in outputs.read_text().splitlines()]

    def _placed(self, block: Block) -> str:
        code = block.code
        for shown, had in self.places.items():
            code = code.replace(shown, had)
        return code


def _plain_environment() -> dict[str, str]:
    """This process's, with our commands found first, and no server or folder of somebody's."""
    ours = {name: value for name, value in os.environ.items() if "SPARSEGRAD" not in name}
    commands = str(Path(sys.executable).parent)
    return ours | {
        "PATH": os.pathsep.join([commands, ours.get("PATH", "")]),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }


def difference(shown: str, printed: str) -> str | None:
    """Where a text differs from what was printed, in words; None where it does not.

    Numbers, digests, spaces and the lines of tables are not compared: they follow the machine.

    Args:
        shown: what the page shows; a line ``…`` stands for any number of lines, and within a line
            it stands for any text.
        printed: what was printed.
    """
    wanted = _lines(shown)
    got = "".join(f"{line}\n" for line in _lines(printed))
    like = [_pattern(line) for line in wanted]
    if re.fullmatch("".join(like), got):
        return None
    for place, line in enumerate(wanted):
        if not re.match("".join(like[: place + 1]), got):
            return f"shows {line!r}, which was not printed there"
    return "more was printed than is shown"


def _pattern(line: str) -> str:
    return "(?:.*\n)*" if line == ANY else ".*".join(map(re.escape, line.split(ANY))) + "\n"


def _lines(text: str) -> list[str]:
    return [line for line in map(_comparable, text.splitlines()) if line]


def _comparable(line: str) -> str:
    for pattern in (_DIGEST, _NUMBER):
        line = pattern.sub("0", line)
    return _RULE.sub(" ", line).strip()

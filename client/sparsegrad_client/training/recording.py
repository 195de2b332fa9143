"""Writing the record of a training; see `record` for what is in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ..disk import flush
from .record import RECORD_FILE, Line, ResumedLine, RunFacts, StepLine, read_record


class Recorder:
    """A record that grows a line at a time.

    Every line leaves the process as it is written; all kinds but steps, which may come many a
    second, are on the disk when `write` returns, and whatever came before them.

    Args:
        folder: where the record is kept.
        file: the record, open at its end.
    """

    def __init__(self, folder: Path, file: IO[bytes]) -> None:
        self._folder = folder
        self._file = file

    @classmethod
    def start(cls, folder: Path, run: RunFacts) -> Recorder:
        """Begin a record; one that lies there already is kept under another name.

        Args:
            folder: made where it is missing.
            run: the first line.

        Raises:
            OSError: when the disk refuses.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / RECORD_FILE
        if path.exists():
            path.rename(_free_name(path))
        recorder = cls(folder, path.open("xb"))
        recorder._append(run.model_dump_json(), durable=True)
        flush(folder)
        return recorder

    @classmethod
    def resume(cls, folder: Path, step: int) -> Recorder:
        """Go on with a record from what the run was after `step` steps.

        Raises:
            InvalidInput: when there is none.
            CorruptFile: when it is damaged.
            OSError: when the disk refuses.
        """
        read_record(folder)
        file = (folder / RECORD_FILE).open("r+b")
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)  # half a line is what a kill left
        file.seek(0, os.SEEK_END)
        recorder = cls(folder, file)
        recorder.write(ResumedLine(step=step))
        return recorder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, line: Line) -> None:
        """Add a line.

        Raises:
            OSError: when the disk refuses.
        """
        self._append(line.model_dump_json(), durable=type(line) is not StepLine)

    def close(self) -> None:
        """Bring all to the disk; nothing can be added afterwards."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _append(self, text: str, *, durable: bool) -> None:
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())


def is_record(name: str) -> bool:
    """Whether a file of that name is a record, or one that was kept."""
    return re.fullmatch(r"training(\.\d+)?\.jsonl", name) is not None


def _free_name(path: Path) -> Path:
    """The first of ``training.1.jsonl``, ``training.2.jsonl``, … that is not taken."""
    number = 1
    while (taken := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    return taken

"""A program from its first line to its exit code: signals, errors in one line, warnings."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from . import exits, mode

if TYPE_CHECKING:
    from ..errors import SparseGradError
    from .commands import Commands

    Explain = Callable[[BaseException], SparseGradError | None]


def run(
    app: Commands, program: str, extras: Mapping[str, str], explain: Explain | None = None
) -> None:
    """Run a program and end the process; see `exits` for how.

    Args:
        app: its commands.
        program: its name.
        extras: the extra that brings a top-level module, by the module.
        explain: what an error of a library means that this program alone uses; None when it does
            not know.
    """
    mode.take(mode.guess(sys.argv[1:]))
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGINT, _interrupt)
    sys.exit(_run(app, program, extras, explain or _nothing))


def _nothing(error: BaseException) -> None:
    return None


def _run(app: Commands, program: str, extras: Mapping[str, str], explain: Explain) -> int:
    from .failures import failure

    try:
        code = app(prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _cut_off()
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # rich's way to say it
            return _cut_off()
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place to say it
        return _tell(*failure(explain(error) or error, program, extras), error)
    return int(code or exits.DONE)


def _tell(error: SparseGradError, code: int, cause: BaseException) -> int:
    present = mode.current()
    if present.debug:
        traceback.print_exception(cause)
    said = " ".join([error.message, *getattr(error, "__notes__", ())])
    if present.json:
        problem = type(error)(said).to_problem().model_dump(mode="json", exclude_none=True)
        _say_json(problem | {"exit_code": code})
    else:
        # One line, whatever a library put into the message.
        _say(f"{'' if code == exits.INTERRUPTED else 'error: '}{' '.join(said.split())}")
    return code


def _say_json(value: object) -> None:
    import json

    _say(json.dumps(value))


def _say(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:  # nobody listens; the exit code still says it
        pass


def _cut_off() -> int:
    """Standard output is gone: say nothing, and have nothing flushed into it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.CUT_OFF


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """The first Ctrl-C lets the command say how to go on; the next one ends the process."""
    signal.signal(signal.SIGINT, lambda signum, frame: os._exit(exits.INTERRUPTED))
    raise KeyboardInterrupt


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning to the person at the terminal: our words, not where in the code they were said."""
    present = mode.current()
    if present.quiet or not issubclass(category, UserWarning):
        return
    if present.json:
        _say_json({"warning": str(message)})
    else:
        _say(f"warning: {message}")

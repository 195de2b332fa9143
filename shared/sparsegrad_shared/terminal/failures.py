"""What an exception means to a user: an error of ours, and the exit code that goes with it."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from difflib import get_close_matches

import typer
from pydantic import ValidationError

from ..errors import (
    FileRefused,
    Interrupted,
    MissingExtra,
    NotConfirmed,
    SparseGradError,
    StorageFull,
    Unforeseen,
    WrongUsage,
)
from . import exits

_DISTRIBUTION = "sparsegrad-peft"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# pydantic's words, which speak to programmers.
_PLAINER = (
    (r"Input should be a valid integer, .*", "expected a whole number"),
    (r"Input should be a valid number, .*", "expected a number"),
    (r"Input should be a valid boolean, .*", "expected true or false"),
    (r"Input should be greater than or equal to ", "expected at least "),
    (r"Input should be less than or equal to ", "expected at most "),
    (r"Input should be greater than ", "expected more than "),
    (r"Input should be less than ", "expected less than "),
    (r"Input should be ", "expected "),
    (r"Value error, \S+ is not one of (.*)", r"expected one of \1"),
    (r"Value error, ", ""),
)
_CODES = {WrongUsage: exits.WRONG_USAGE, Interrupted: exits.INTERRUPTED}


def failure(
    error: BaseException, program: str, extras: Mapping[str, str]
) -> tuple[SparseGradError, int]:
    """Put an exception in words.

    Args:
        error: what ended the command.
        program: the program's name.
        extras: the extra that brings a top-level module, by the module.
    """
    ours = _ours(error, program, extras)
    for note in getattr(error, "__notes__", ()) if ours is not error else ():
        ours.add_note(note)
    return ours, _CODES.get(type(ours), exits.FAILED)


def _ours(error: BaseException, program: str, extras: Mapping[str, str]) -> SparseGradError:
    match error:
        case SparseGradError():
            return error
        case typer.TyperException():
            return _usage(error, program)
        case KeyboardInterrupt():
            return Interrupted("interrupted")
        case typer.Abort():
            return NotConfirmed("nothing was changed")
        case ModuleNotFoundError():
            return _missing(error, program, extras)
        case OSError() if error.errno in _FULL:
            where = f" for {error.filename}" if error.filename else ""
            return StorageFull(f"the disk is full: no space left{where}; free some and try again")
        case OSError() if error.filename and error.strerror:
            return FileRefused(f"cannot use {error.filename}: {error.strerror}")
        case MemoryError():
            return Unforeseen("out of memory; take a smaller --batch-size, or a larger machine")
    return Unforeseen(
        f"unforeseen error: {type(error).__name__}: {error}; `{program} --debug …` shows where"
    )


def _usage(error: typer.TyperException, program: str) -> WrongUsage:
    """Wrong usage in one line: the option's name first, what came, and where there is help."""
    said = re.sub(r"\s+", " ", error.format_message()).strip()
    said = re.sub(r" \(env var: '(\w+)'\)", r" or \1", said)
    said = re.sub(r"^Invalid value for (.+?): ", lambda found: f"{_bare(found[1])}: ", said)
    said = re.sub(r"^Missing (.+)\.$", lambda found: f"missing {_bare(found[1])}", said)
    said = re.sub(r"\(Possible options: .*\)", lambda _: f"Did you mean {_nearest(error)}?", said)
    said = re.sub(r"\. Did you mean|(?<!\.) Did you mean", "; did you mean", said).rstrip(".")
    for theirs, ours in _PLAINER:
        said = re.sub(theirs, ours, said)
    context = getattr(error, "ctx", None)
    called = program if context is None else context.command_path
    link = " See" if said.endswith("?") else "; see"
    return WrongUsage(f"{_uncapitalised(said)}{_came(error)}{link} `{called} --help`")


def _nearest(error: typer.TyperException) -> str:
    """The option most like the one that there is not."""
    wrong, known = error.option_name, error.possibilities  # type: ignore[attr-defined]
    return str(get_close_matches(wrong, known, n=1, cutoff=0.0)[0])


def _bare(names: str) -> str:
    return names.replace("'", "").replace("...", "")


def _uncapitalised(text: str) -> str:
    """A sentence as a part of one; the name of an argument stays in capitals."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _came(error: typer.TyperException) -> str:
    """The value that was refused, where it is known."""
    if not isinstance(error.__cause__, ValidationError):
        return ""
    return f"; got {error.__cause__.errors()[0]['input']!r}"


def _missing(
    error: ModuleNotFoundError, program: str, extras: Mapping[str, str]
) -> SparseGradError:
    module = (error.name or "").partition(".")[0]
    if module in extras:
        return MissingExtra(
            f"this command needs {module}, which is not installed; "
            f"run: pip install '{_DISTRIBUTION}[{extras[module]}]'"
        )
    return MissingExtra(
        f"a module is missing: {error.name}; `{program} --debug …` shows who needs it"
    )

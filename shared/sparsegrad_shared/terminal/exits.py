"""The exit codes of both programs."""

from __future__ import annotations

DONE = 0
FAILED = 1
WRONG_USAGE = 2
FOUND_DAMAGE = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
CUT_OFF = 141  # 128 + SIGPIPE

MEANINGS = {
    DONE: "done",
    FAILED: "an error",
    WRONG_USAGE: "wrong usage, or a question that nobody was there to answer",
    FOUND_DAMAGE: "something stored is lost or damaged (`check`)",
    INTERRUPTED: "interrupted (Ctrl-C)",
    CUT_OFF: "whoever read the output went away (`| head`)",
}

"""Values as people read them: sizes, ages, shares. Used by templates as filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup

NONE = "\N{EN DASH}"  # where there is no value
_LONG = 10_000  # the least number whose thousands stand apart
_WORD_FIRST = re.compile(r"[a-z]+(?=[ ,;:])")  # and no name, such as team/x
_COMMAND = re.compile(r"`([^`]+)`")
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_AGES = (
    ("year", 31_557_600),
    ("month", 2_629_800),
    ("day", 86_400),
    ("hour", 3600),
    ("minute", 60),
)


def size(count: int) -> str:
    """Bytes, in the largest decimal unit of which there is at least one: 1.5 MB."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def age(then: datetime, now: datetime) -> str:
    """How long ago something was, in its largest unit: 3 days ago."""
    seconds = (now - then).total_seconds()
    for unit, length in _AGES:
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"


def duration(seconds: float) -> str:
    """How long something takes: 12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{number(hours)} h {minutes} min" if minutes else f"{number(hours)} h"


def moment(then: datetime | None) -> str:
    """A time to the minute, in UTC; a dash when there is none."""
    return NONE if then is None else f"{then:%Y-%m-%d %H:%M} UTC"


def machine_time(then: datetime) -> str:
    """A time as programs read it, for `<time datetime>`."""
    return then.isoformat(timespec="seconds")


def share(value: float | None) -> str:
    """A share of one as a percentage; a dash when it is not known."""
    return NONE if value is None else f"{100 * value:.1f}%"


def percent(value: float) -> str:
    """A share that somebody has set, with no more digits than it has: 1%."""
    return f"{100 * value:g}%"


def number(value: float) -> str:
    """A whole number; from five digits on, with its thousands apart."""
    if abs(value) < _LONG:
        return f"{value:.0f}"
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, word: str) -> str:
    """How many there are of something that takes an s."""
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def sentence(message: str) -> str:
    """An error's message as a sentence: a capital letter, unless a name is first, and a stop."""
    if _WORD_FIRST.match(message):
        message = f"{message[:1].upper()}{message[1:]}"
    return message if message.endswith((".", "?", "!")) else f"{message}."


def with_commands(message: str) -> Markup:
    """A message for a page: what it has between backticks is set as code."""
    code = Markup("<code>{}</code>")
    parts = enumerate(_COMMAND.split(message))  # text, command, text, …
    return Markup("").join(code.format(part) if place % 2 else part for place, part in parts)


def short(digest: str) -> str:
    """A digest's first digits, as people tell one from another."""
    return digest.removeprefix("sha256:")[:12]


FILTERS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "age": age,
    "duration": duration,
    "moment": moment,
    "machine_time": machine_time,
    "share": share,
    "percent": percent,
    "number": number,
    "plural": plural,
    "sentence": sentence,
    "with_commands": with_commands,
    "short": short,
}

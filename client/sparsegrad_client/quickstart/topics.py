"""A small classification task made from the language reference that Python ships.

`pydoc_data.topics` is installed with every Python: the reference's pages as text, by topic. The
task is to tell from one or two sentences which part of the reference they come from. A passage
that stands in two parts belongs to neither, so training and held-out passages have none in common.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# Topics by part. Pages that repeat others whole (`compound`, `types`, `specialnames`) are left out;
# a topic that a Python version does not have is passed over.
PARTS: Mapping[str, tuple[str, ...]] = {
    "statements": (
        "assert", "assignment", "async", "augassign", "break", "class", "continue", "del", "else",
        "for", "function", "global", "if", "import", "nonlocal", "pass", "raise", "return", "try",
        "while", "with",
    ),
    "expressions": (
        "atom-identifiers", "atom-literals", "attribute-references", "await", "binary", "bitwise",
        "booleans", "calls", "comparisons", "conversions", "dict", "exprlists", "lambda", "lists",
        "operator-summary", "power", "shifting", "slicings", "subscriptions", "unary", "yield",
    ),
    "data model": (
        "attribute-access", "callable-types", "context-managers", "customization", "execmodel",
        "naming", "numeric-types", "objects", "sequence-types",
    ),
    "text": ("formatstrings", "identifiers", "string-methods", "strings"),
    "containers": ("typesmapping", "typesseq", "typesseq-mutable"),
    "debugger": ("debugger",),
}  # fmt: skip

MIN_CHARACTERS = 40
MAX_CHARACTERS = 260
# Headings, grammar, examples, tables.
_NOT_PROSE = re.compile(r"^([*=\-^~])\1{2,}$|::=|>>>|^\s*[|+]", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")


@dataclass(frozen=True)
class Passage:
    """One or two sentences, and the part of the reference that they come from."""

    text: str
    part: str


def passages(pages: Mapping[str, str]) -> list[Passage]:
    """Cut pages into passages; none stands twice, none in two parts.

    Args:
        pages: text by topic, as in `pydoc_data.topics.topics`.
    """
    parts_of: dict[str, set[str]] = defaultdict(set)
    for part, topics in PARTS.items():
        for topic in topics:
            for text in _cut(pages.get(topic, "")):
                parts_of[text].add(part)
    return [Passage(text, *parts) for text, parts in parts_of.items() if len(parts) == 1]


def split(
    found: Sequence[Passage], *, seed: int, train: int, held_out: int
) -> tuple[list[Passage], list[Passage]]:
    """Draw a training and a held-out set, each with the same number of passages a part.

    Args:
        found: passages, no text twice.
        seed: of the draw.
        train: passages a part for training; fewer when the smallest part has not as many.
        held_out: passages a part that are held out.
    """
    by_part: dict[str, list[Passage]] = defaultdict(list)
    for passage in found:
        by_part[passage.part].append(passage)
    smallest = min(len(members) for members in by_part.values())
    train = min(train, smallest - held_out)
    draw = random.Random(seed)  # noqa: S311 - a sample, not a secret
    trained: list[Passage] = []
    held: list[Passage] = []
    for _, members in sorted(by_part.items()):
        drawn = draw.sample(members, train + held_out)
        trained += drawn[:train]
        held += drawn[train:]
    draw.shuffle(trained)
    return trained, held


def _cut(page: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", page):
        if _NOT_PROSE.search(paragraph):
            continue
        text = re.sub(r"\s+", " ", paragraph).removeprefix(" ").removeprefix("* ").strip()
        yield from _pair(_SENTENCE_END.split(text))


def _pair(sentences: Sequence[str]) -> Iterator[str]:
    """Sentences, two at a time where the two are short enough."""
    held = ""
    for sentence in sentences:
        joined = f"{held} {sentence}".strip()
        if held and MIN_CHARACTERS <= len(joined) <= MAX_CHARACTERS:
            yield joined
            held = ""
            continue
        if len(held) >= MIN_CHARACTERS:
            yield held[:MAX_CHARACTERS]
        held = sentence
    if len(held) >= MIN_CHARACTERS:
        yield held[:MAX_CHARACTERS]

"""A campaign: cases of every kind, in rounds, so that memory is compared after like and like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import parsers
from .documents import Documents
from .openapi import Conformance, Sender
from .sockets import Sockets
from .tally import Complaint, Tally
from .target import Memory, Target, running
from .uploads import Uploads

ROUNDS = 4
GOOD_EVERY = 20  # a good upload after so many bad ones
# What a server may grow by after the first round: pools of threads and connections fill, and the
# allocator keeps what it once had. A leak of 10 KB a case would be 75 MB over 7,500 cases.
GROWTH_BYTES = 48 << 20
GROWTH_DESCRIPTORS = 40
# Shares of the cases.
OPENAPI, UPLOADS, DOCUMENTS, READERS, SOCKETS = 0.45, 0.25, 0.15, 0.12, 0.03
# Who takes part in each round, and with which share.
SENDERS = {
    Sender("admin", known=True): 0.35,
    Sender("admin", known=False): 0.25,
    Sender("write", known=True): 0.25,
    Sender(None, known=True): 0.15,
}
TURNS = 10  # of the phase `fuzzing`, which sends fewer cases than it is asked for
COVERAGE = 270  # cases of one run of that phase, which cannot be divided


@dataclass
class Outcome:
    """What came of a campaign.

    Attributes:
        tally: its counts and complaints.
        memory: of the server, at the start and after each round.
    """

    tally: Tally
    memory: list[Memory] = field(default_factory=list)

    @property
    def complaints(self) -> list[Complaint]:
        """Everything that should not have happened."""
        return self.tally.complaints

    def lines(self) -> Iterator[str]:
        """The outcome as text."""
        yield from self.tally.table()
        for when, memory in enumerate(self.memory):
            name = "at the start" if when == 0 else f"after round {when}"
            yield (
                f"server {name}: {memory.rss_bytes / 2**20:.0f} MiB, {memory.threads} threads, "
                f"{memory.descriptors} descriptors"
            )


def run(
    folder: Path, cases: int, seed: int, say: Callable[[str], None], rounds: int = ROUNDS
) -> Outcome:
    """Send so many cases, or a few more, to a server of its own.

    Args:
        folder: an empty one.
        cases: how many.
        seed: of everything that is sent.
        say: told how far it is.
        rounds: how many to divide them into.
    """
    tally = Tally(cases, say)
    outcome = Outcome(tally)
    with running(folder) as target:
        documents, sockets = Documents(target, tally), Sockets(target, tally)
        outcome.memory.append(target.memory())
        for number in range(rounds):
            share, salt = cases / rounds, f"{seed}/{number}"
            when = f"round {number + 1} of seed {seed}"
            with _nothing_outside(target, tally, when), sockets.slow(salt):
                _send_uploads(Uploads(target, tally), round(share * UPLOADS), salt)
                for case in range(round(share * DOCUMENTS)):
                    documents.send(f"{salt}/{case}")
                for case in range(round(share * READERS)):
                    parsers.read(tally, f"{salt}/{case}")
                _send_on_sockets(sockets, round(share * SOCKETS), salt)
                conformance = Conformance(target, tally, f"round-{number}")
                _hold_to_document(conformance, round(share * OPENAPI), number, seed)
            outcome.memory.append(target.memory())
        _judge(target, outcome)
    return outcome


def _send_uploads(uploads: Uploads, cases: int, salt: str) -> None:
    for case in range(cases):
        if case % GOOD_EVERY == 0:
            uploads.good()
        else:
            uploads.bad(f"{salt}/{case}")
    uploads.read_back()


def _send_on_sockets(sockets: Sockets, cases: int, salt: str) -> None:
    for case in range(cases):
        sockets.quick(f"{salt}/{case}")
    sockets.flood()


def _hold_to_document(conformance: Conformance, cases: int, number: int, seed: int) -> None:
    # In each round another one goes through all that the document says.
    thorough = list(SENDERS)[number % len(SENDERS)]
    if cases > 2 * COVERAGE:
        conformance.run(thorough, "coverage", COVERAGE, seed + number)
        cases -= COVERAGE
    for sender, part in SENDERS.items():
        wanted = round(cases * part)
        sent = conformance.run(sender, "stateful", wanted // 2, seed + number)
        for turn in range(TURNS):
            if sent < wanted:
                salt = seed + number + (turn + 1) * ROUNDS
                sent += conformance.run(sender, "fuzzing", wanted - sent, salt)


@contextmanager
def _nothing_outside(target: Target, tally: Tally, when: str) -> Iterator[None]:
    before = target.outside()
    yield
    if changed := target.outside() ^ before:
        tally.complain("canary", f"changed beside the data folder: {sorted(changed)}", when)


def _judge(target: Target, outcome: Outcome) -> None:
    tally = outcome.tally
    code = target.process.poll()
    if code is not None:
        tally.complain("server", f"ended by itself, code {code}", "")
    for line in target.faults():
        tally.complain("server's log", line[:500], "see the fault's request above")
    warm, end = outcome.memory[1], outcome.memory[-1]
    grown = end.rss_bytes - warm.rss_bytes
    if grown > GROWTH_BYTES:
        tally.complain("memory", f"grew by {grown / 2**20:.0f} MiB after the first round", "")
    if end.descriptors - warm.descriptors > GROWTH_DESCRIPTORS:
        tally.complain("descriptors", f"from {warm.descriptors} to {end.descriptors}", "")

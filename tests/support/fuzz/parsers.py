"""The readers of outside data, in this process: only errors of ours come out, and soon."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping

from support.bases import made
from support.gradients import D_IN, D_OUT

from sparsegrad_server.ingest.check import check_gradient
from sparsegrad_server.sharing.acceptable import check_group_file, check_manifest, check_report
from sparsegrad_shared.bases import BasisManifest
from sparsegrad_shared.calibrations import GroupSpec, Normalization
from sparsegrad_shared.digests import digest_of, parse_content_digest
from sparsegrad_shared.errors import SparseGradError
from sparsegrad_shared.framing import parse_header
from sparsegrad_shared.references import BasisReference, parse_name

from .documents import hostile_manifest, odd_text
from .frames import TEXTS, any_body
from .tally import Tally
from .uploads import DIGESTS, NAMES

CASE_SECONDS = 1.0  # of this thread's own time, so that a busy machine does not count
LIMIT = 1 << 30
GROUP = GroupSpec(
    name="up", layers=("l",), d_out=D_OUT, d_in=D_IN, dtype="float32", gradients=8, held_out=2
)
BASIS = made()
Reader = Callable[[random.Random], object]


def _header(chance: random.Random) -> None:
    parse_header(any_body(chance)[1])


def _gradient(chance: random.Random) -> None:
    normalize: Normalization = "frobenius" if chance.random() < 0.5 else "none"
    check_gradient(memoryview(any_body(chance)[1]), GROUP, chance.choice((0, 9)), normalize)


def _reference(chance: random.Random) -> None:
    parts = [chance.choice((*NAMES, *TEXTS, "team", "prod", "3")) for _ in range(3)]
    text = chance.choice(("{}/{}", "{}/{}@{}", "{}/{}:{}", "sha256:{}", "{}")).format(*parts)
    reference = chance.choice((BasisReference.parse, parse_name))(text)
    assert ".." not in str(reference).split("/")


def _digest(chance: random.Random) -> None:
    parse_content_digest(", ".join(chance.choice((*DIGESTS, *TEXTS)) for _ in range(3)))


def _manifest(chance: random.Random) -> None:
    content = hostile_manifest(chance, json.loads(BASIS.manifest.canonical_bytes()))
    manifest = BasisManifest.from_canonical_bytes(content, digest_of([content]))
    check_manifest(manifest, LIMIT)


def _basis_file(chance: random.Random) -> None:
    content = bytearray(BASIS.files["up.safetensors"])
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.getrandbits(8)
    cut = chance.choice((len(content), chance.randrange(len(content))))
    check_group_file(memoryview(bytes(content[:cut])), BASIS.manifest.groups[0])


def _report(chance: random.Random) -> None:
    check_report(odd_text(chance, json.loads(BASIS.files["report.json"])), BASIS.manifest)


READERS: Mapping[str, Reader] = {
    "header": _header,
    "gradient": _gradient,
    "reference": _reference,
    "digest": _digest,
    "manifest": _manifest,
    "basis file": _basis_file,
    "report": _report,
}


def read(tally: Tally, seed: str) -> None:
    """Have one of them read something."""
    chance = random.Random(seed)
    name = chance.choice(tuple(READERS))
    kind, case = f"reader: {name}", f"seed {seed}"
    began, answer = time.thread_time(), "accepted"
    try:
        READERS[name](chance)
    except SparseGradError as error:
        answer = "refused"
        try:
            error.to_problem().model_dump_json()
        except ValueError as unsayable:
            tally.complain(kind, f"{type(error).__name__} cannot be sent: {unsayable}", case)
    except Exception as error:  # noqa: BLE001 - the finding
        answer = type(error).__name__
        tally.complain(kind, f"{answer}: {str(error)[:300]}", case)
    seconds = time.thread_time() - began
    if seconds > CASE_SECONDS:
        tally.complain(kind, f"took {seconds:.1f} s of the processor", case)
    tally.count(kind, answer, seconds, case)

"""A server with small bases, to look at through its pages.

* ``team/tiny`` versions 1 and 2, from calibrations: two groups with pictures, or one, not judged;
  ``prod`` names version 1, and named 2 before; tags ``nightly`` and ``kept``, pinned;
* ``team/marked`` version 1, imported: every text of its lineage is `MARKUP`;
* ``team/many`` version 1, imported: 96 groups;
* ``other/secret`` version 1, in a namespace that tokens of ``team`` do not see.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sparsegrad_server.catalog import aliases, bases, tags
from sparsegrad_shared.calibrations import DatasetSource, ModelSource
from sparsegrad_shared.references import BasisReference

from .bases import MadeBasis, Shape, made, publish
from .service import Service, running
from .workbench import Workbench, group_of, manifest_of

MARKUP = "<script>alert(1)</script>\"'&"
SECRET = "nobody-elses"
GROUPS = 96


@dataclass(frozen=True)
class Shelf:
    """The server, and what stands in it.

    Attributes:
        service: the server.
        digests: of the bases by their references.
    """

    service: Service
    digests: dict[str, str]


@contextmanager
def shelf_of(bench: Workbench) -> Iterator[Shelf]:
    """A server over a new data folder, with all that is listed above."""
    _calibrate(bench)
    with running(bench.settings.data) as service:
        with service.client() as client:
            publish(client, "team/marked", _marked())
            layers = [Shape(f"layer.{place}") for place in range(GROUPS)]
            publish(client, "team/many", made(2, layers, model="large"))
        with service.client("other") as client:
            publish(client, "other/secret", made(3, model=SECRET, dataset=SECRET))
        _mark(service)
        yield Shelf(service, _digests(service))


def _calibrate(bench: Workbench) -> None:
    both = [group_of("up"), group_of("down", 8, 12)]
    first = bench.open(manifest_of(both))
    for group in both:
        bench.store_all(first, group)
    bench.finish(first)
    bench.work()
    bench.publish(manifest_of([group_of("up", held_out=0)], rank=4))


def _marked() -> MadeBasis:
    basis = made(1, model=MARKUP, dataset=MARKUP)
    model = ModelSource(id=MARKUP, revision=MARKUP, architecture=MARKUP)
    dataset = DatasetSource(id=MARKUP, fingerprint=MARKUP)
    manifest = basis.manifest.model_copy(update={"model": model, "dataset": dataset})
    return MadeBasis(manifest, basis.files)


def _mark(service: Service) -> None:
    now = datetime.now(UTC)
    with service.catalog.writing() as session:
        row = bases.resolve(session, BasisReference("team", "tiny", 1), "team")
        tags.add(session, row, ["nightly", "kept"])
        row.pinned = True
        for expected, version in ((None, 2), (2, 1)):
            aliases.move(
                session, "team", "tiny", "prod",
                version=version, expected=expected, by=MARKUP, now=now,
            )  # fmt: skip


def _digests(service: Service) -> dict[str, str]:
    names = ("team/tiny@1", "team/tiny@2", "team/marked@1", "team/many@1", "other/secret@1")
    with service.catalog.reading() as session:
        return {
            name: bases.resolve(session, BasisReference.parse(name), "*").digest for name in names
        }

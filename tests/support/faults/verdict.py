"""Whether anything was lost: what the client was told, held against what is in the stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from sparsegrad_server.catalog import Catalog
from sparsegrad_server.catalog.bases import live
from sparsegrad_server.catalog.tables import CalibrationRow, GradientRow, JobRow, VersionRow
from sparsegrad_server.checkup.check import check
from sparsegrad_server.checkup.findings import Finding, Notes
from sparsegrad_server.checkup.gc import spare_things
from sparsegrad_server.checkup.parts import opened
from sparsegrad_server.checkup.spare import Age
from sparsegrad_server.store.files import Staging, entries
from sparsegrad_server.store.local_bases import LocalBasisStore
from sparsegrad_server.store.local_gradients import LocalGradientStore

from .campaign import Campaign


def assert_acknowledged_is_there(campaign: Campaign) -> int:
    """Every gradient that was acknowledged is stored, bit for bit; answers how many."""
    settings = campaign.settings
    catalog = Catalog(settings.catalog_address)
    store = LocalGradientStore(settings.gradients_folder, Staging(settings.staging_folder))
    checked = 0
    for number, known in campaign.known.items():
        if known.id is None:
            continue
        groups = {group.name: group for group in campaign.contents.manifest(number).groups}
        with catalog.reading() as session:
            for (name, index), digest in known.acknowledged.items():
                where = f"calibration {number}, {known.id}, gradient {name}/{index}"
                row = session.get(GradientRow, (known.id, name, index))
                assert row is not None, f"{where} has no row"
                assert (row.state, row.digest) == ("stored", digest), where
                expected = campaign.contents.tensors(number, name, index)
                found = store.read(known.id, groups[name], index, row.form)  # type: ignore[arg-type]
                assert found.keys() == expected.keys(), where
                for tensor, array in expected.items():
                    assert found[tensor].dtype == array.dtype, where
                    assert found[tensor].tobytes() == array.tobytes(), where
                checked += 1
    catalog.close()
    return checked


def assert_bases_are_whole(campaign: Campaign) -> int:
    """Every basis in the store, and every one the client was told of, is whole; says how many."""
    settings = campaign.settings
    store = LocalBasisStore(settings.bases_folder, settings.partial_folder)
    told = {known.digest for known in campaign.known.values() if known.digest is not None}
    there = set(store.digests())
    assert told <= there, f"bases that are gone: {told - there}"
    for digest in there:
        store.verify(digest)
    return len(there)


def assert_no_job_is_stuck(campaign: Campaign) -> int:
    """Every job has ended well; answers how many there were."""
    catalog = Catalog(campaign.settings.catalog_address)
    with catalog.reading() as session:
        jobs = list(session.scalars(select(JobRow)))
    catalog.close()
    stuck = [f"{job.id} {job.kind} {job.state} {job.error}" for job in jobs if job.state != "done"]
    assert not stuck, stuck
    assert all(known.digest is not None for known in campaign.known.values())
    return len(jobs)


def assert_same_bases(disturbed: Campaign, undisturbed: Campaign) -> int:
    """Each basis is the one that the same gradients give without kills; answers how many."""
    others = undisturbed.known
    for number, known in disturbed.known.items():
        assert known.digest == others[number].digest, f"calibration {number}"
    return len(disturbed.known)


def published(campaign: Campaign) -> set[str]:
    """The digests of all versions."""
    catalog = Catalog(campaign.settings.catalog_address)
    with catalog.reading() as session:
        digests = set(session.scalars(select(VersionRow.digest)))
    catalog.close()
    return digests


def assert_nothing_is_wrong(campaign: Campaign) -> str:
    """A check finds nothing wrong; answers what it looked at."""
    findings: list[Finding] = []
    notes = Notes(findings.append)
    with opened(campaign.settings) as parts:
        check(parts, notes)
    assert findings == []
    looked = notes.looked_at
    assert looked["gradients"] == looked["gradients by digest"]
    return ", ".join(f"{count} {kind}" for kind, count in looked.items())


def assert_gc_leaves_what_is_named_and_nothing_else(campaign: Campaign) -> str:
    """A collection without grace leaves no left-over, and all that is named; says what it freed."""
    with opened(campaign.settings) as parts:
        freed = [spare for spare in spare_things(parts, _no_grace()) if spare.free()]
        assert list(spare_things(parts, _no_grace())) == []
    settings = campaign.settings
    catalog = Catalog(settings.catalog_address)
    with catalog.reading() as session:
        kept = select(CalibrationRow.id).where(CalibrationRow.state != "expired")
        rows = set(session.scalars(kept))
        stored = {
            (row.calibration_id, row.group, row.index, row.form)
            for row in session.scalars(select(GradientRow))
            if row.state == "stored"
        }
        named = set(session.scalars(select(VersionRow.digest).where(live())))
    catalog.close()
    store = LocalGradientStore(settings.gradients_folder, Staging(settings.staging_folder))
    lying = {
        (name, held.group, held.index, held.form)
        for name in store.calibrations()
        for held in store.holdings(name)
    }
    assert set(store.calibrations()) == rows
    assert lying == stored, lying ^ stored
    assert {f"sha256:{path.name}" for path in settings.bases_folder.iterdir()} == named
    return f"{len(freed)} things, {sum(spare.bytes for spare in freed)} bytes"


def _no_grace() -> Age:
    return Age(datetime.now(UTC), timedelta(0))


def assert_folders_are_empty(campaign: Campaign) -> None:
    """With every calibration done, nothing waits in the folders of what is not whole yet."""
    settings = campaign.settings
    for folder in (settings.staging_folder, settings.partial_folder):
        assert entries(folder) == []

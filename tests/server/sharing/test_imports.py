"""Imports without HTTP: what must not happen twice at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.workbench import Workbench, group_of, manifest_of

from sparsegrad_server.auth.principal import Principal
from sparsegrad_server.sharing.imports import Imports
from sparsegrad_server.store.local_bases import LocalBasisStore
from sparsegrad_shared.bases import BasisManifest
from sparsegrad_shared.errors import Overloaded

WRITER = Principal("tests", "team", "write", "tok-1")
SECONDS = 60.0


class SlowStore(LocalBasisStore):
    """A store that takes its time to read a basis."""

    begun, go_on = threading.Event(), threading.Event()

    def verify(self, digest: str) -> BasisManifest:
        self.begun.set()
        assert self.go_on.wait(SECONDS)
        return super().verify(digest)


def test_one_basis_is_read_at_a_time_however_many_are_named_anew(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "data")
    basis = bench.publish(manifest_of([group_of()])).basis
    assert basis is not None
    manifest = bench.bases.verify(basis.digest)
    store = SlowStore(bench.settings.bases_folder, bench.settings.partial_folder)
    imports = Imports(bench.catalog, store, bench.settings)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(imports.go_on, WRITER, "team", "first", basis.digest, manifest)
        assert store.begun.wait(SECONDS)
        with pytest.raises(Overloaded) as refused:
            imports.go_on(WRITER, "team", "second", basis.digest, manifest)
        assert refused.value.retry_after
        store.go_on.set()
        version = first.result(SECONDS).version
    assert str(version) == "team/first@1"
    again = imports.go_on(WRITER, "team", "second", basis.digest, manifest).version
    assert str(again) == "team/second@1"
    bench.catalog.close()

"""The local gradient store: the contract, and what lies on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import zarr
from support.gradient_stores import GradientStoreContract, group_spec, manifest_of

from sparsegrad_server.store.files import Staging
from sparsegrad_server.store.local_gradients import LocalGradientStore
from sparsegrad_shared.calibrations import GradientForm
from sparsegrad_shared.errors import CorruptFile

FACTORS = {"g": np.ones((3, 6), np.float32), "x": np.ones((3, 4), np.float32)}


@pytest.fixture
def store(tmp_path: Path) -> LocalGradientStore:
    return LocalGradientStore(tmp_path / "gradients", Staging(tmp_path / "staging"))


class TestContract(GradientStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalGradientStore:
        return LocalGradientStore(tmp_path / "gradients", Staging(tmp_path / "staging"))


def test_plain_zarr_reads_a_group_as_one_array(store: LocalGradientStore, tmp_path: Path) -> None:
    group = group_spec()
    G = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    store.create("cal", manifest_of(group))
    store.write("cal", group, 2, {"G": G})
    array = zarr.open_group(tmp_path / "gradients" / "cal", mode="r")["up/dense"]
    assert isinstance(array, zarr.Array)
    assert (array.shape, array.chunks, array.shards) == ((5, 6, 4), (1, 6, 4), None)
    np.testing.assert_array_equal(np.asarray(array[2]), G)
    assert array.metadata.zarr_format == 3


def test_plain_zarr_reads_bfloat16_as_its_bits(store: LocalGradientStore, tmp_path: Path) -> None:
    group = group_spec(dtype="bfloat16")
    G = np.random.default_rng(0).standard_normal((6, 4)).astype(ml_dtypes.bfloat16)
    store.create("cal", manifest_of(group))
    store.write("cal", group, 0, {"G": G})
    array = zarr.open_group(tmp_path / "gradients" / "cal", mode="r")["up/dense"]
    assert isinstance(array, zarr.Array)
    assert (array.dtype, array.attrs["dtype"]) == (np.uint16, "bfloat16")
    np.testing.assert_array_equal(np.asarray(array[0]), G.view(np.uint16))


def test_factors_and_sums_are_arrays_of_their_own(
    store: LocalGradientStore, tmp_path: Path
) -> None:
    group = group_spec()
    sums = {"A_in": np.eye(4), "A_out": np.eye(6)}
    store.create("cal", manifest_of(group))
    store.write("cal", group, 1, FACTORS)
    store.write("cal", group, 3, sums)
    root = zarr.open_group(tmp_path / "gradients" / "cal", mode="r")
    for path, expected in (("g.1", FACTORS["g"]), ("A_out.3", sums["A_out"])):
        array = root[f"up/{path}"]
        assert isinstance(array, zarr.Array)
        np.testing.assert_array_equal(np.asarray(array[...]), expected)


def test_chunks_are_zstd_with_a_checksum_and_written_even_if_zero(
    store: LocalGradientStore, tmp_path: Path
) -> None:
    group = group_spec()
    store.create("cal", manifest_of(group))
    store.write("cal", group, 4, {"G": np.zeros((6, 4), np.float32)})
    home = tmp_path / "gradients" / "cal" / "up" / "dense"
    codecs = json.loads((home / "zarr.json").read_text())["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "zstd", "crc32c"]
    assert codecs[1]["configuration"]["level"] == 1
    assert {path.name for path in home.iterdir()} == {"zarr.json", "c.4.0.0"}


@pytest.mark.parametrize("form", ["dense", "factored"])
@pytest.mark.parametrize("damage", ["a flipped bit", "a lost end", "nothing left"])
def test_damage_on_the_disk_is_named(
    store: LocalGradientStore, tmp_path: Path, form: GradientForm, damage: str
) -> None:
    group = group_spec()
    tensors = {"G": np.ones((6, 4), np.float32)} if form == "dense" else FACTORS
    store.create("cal", manifest_of(group))
    store.write("cal", group, 0, tensors)
    home = tmp_path / "gradients" / "cal" / "up"
    chunk = home / "dense" / "c.0.0.0" if form == "dense" else home / "x.0/c.0.0"
    content = bytearray(chunk.read_bytes())
    content[10] ^= 4
    kept = {"a flipped bit": content, "a lost end": content[:-8], "nothing left": b""}
    chunk.write_bytes(kept[damage])
    with pytest.raises(CorruptFile, match=r"cal: gradient up/0.*damaged"):
        store.read("cal", group, 0, form)


def test_nothing_stays_in_the_staging_folder(store: LocalGradientStore, tmp_path: Path) -> None:
    group = group_spec()
    store.create("cal", manifest_of(group))
    store.write("cal", group, 0, FACTORS)
    assert list((tmp_path / "staging").iterdir()) == []

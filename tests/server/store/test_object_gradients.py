"""Gradients in object storage: the contract, and what lies in the bucket."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import zarr
from support.gradient_stores import (
    GradientStoreContract,
    assert_same_bits,
    group_spec,
    manifest_of,
)
from support.object_storage import Bucket
from zarr.storage import ObjectStore

from sparsegrad_server.store import objects as object_storage
from sparsegrad_server.store.files import Staging
from sparsegrad_server.store.local_gradients import LocalGradientStore
from sparsegrad_server.store.object_gradients import ObjectGradientStore
from sparsegrad_server.store.objects import Objects, StorageUnreachable
from sparsegrad_shared.calibrations import GradientForm
from sparsegrad_shared.errors import CorruptFile

FACTORS = {"g": np.ones((3, 6), np.float32), "x": np.ones((3, 4), np.float32)}


@pytest.fixture
def store(objects: Objects) -> ObjectGradientStore:
    return ObjectGradientStore(objects)


class TestContract(GradientStoreContract):
    @pytest.fixture
    def store(self, objects: Objects) -> ObjectGradientStore:
        return ObjectGradientStore(objects)


def test_plain_zarr_reads_a_group_as_one_array(store: ObjectGradientStore, bucket: Bucket) -> None:
    group = group_spec()
    G = np.random.default_rng(0).standard_normal((6, 4), dtype=np.float32)
    store.create("cal", manifest_of(group))
    store.write("cal", group, 2, {"G": G})
    array = zarr.open_array(ObjectStore(bucket.store("part/cal/up/dense"), read_only=True))
    assert (array.shape, array.chunks, array.shards) == ((5, 6, 4), (1, 6, 4), None)
    np.testing.assert_array_equal(np.asarray(array[2]), G)


def test_plain_zarr_reads_factors_and_bfloat16_as_bits(
    store: ObjectGradientStore, bucket: Bucket
) -> None:
    group = group_spec(dtype="bfloat16")
    tensors = {name: array.astype(ml_dtypes.bfloat16) for name, array in FACTORS.items()}
    store.create("cal", manifest_of(group))
    store.write("cal", group, 1, tensors)
    array = zarr.open_array(ObjectStore(bucket.store("part/cal/up/g.1"), read_only=True))
    assert (array.dtype, array.attrs["dtype"]) == (np.uint16, "bfloat16")
    np.testing.assert_array_equal(np.asarray(array[...]), tensors["g"].view(np.uint16))


@pytest.mark.parametrize("form", ["dense", "factored"])
@pytest.mark.parametrize("damage", ["a flipped bit", "a lost end", "nothing left"])
def test_damage_is_named(
    store: ObjectGradientStore, objects: Objects, form: GradientForm, damage: str
) -> None:
    group = group_spec()
    tensors = {"G": np.ones((6, 4), np.float32)} if form == "dense" else FACTORS
    store.create("cal", manifest_of(group))
    store.write("cal", group, 0, tensors)
    key = "cal/up/dense/c.0.0.0" if form == "dense" else "cal/up/x.0/c.0.0"
    content = bytearray(objects.read(key))
    content[10] ^= 4
    kept = {"a flipped bit": bytes(content), "a lost end": bytes(content[:-8]), "nothing left": b""}
    objects.write(key, kept[damage])
    with pytest.raises(CorruptFile, match=r"cal: gradient up/0.*damaged"):
        store.read("cal", group, 0, form)


def test_a_large_gradient_goes_in_parts_and_appears_at_the_end(
    store: ObjectGradientStore, bucket: Bucket
) -> None:
    side = 2200  # 19 MB that do not compress: three parts
    group = group_spec(side, side)
    G = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    assert G.nbytes > 2 * object_storage.PART_BYTES
    store.create("cal", manifest_of(group))
    with store.stage("cal", group, 0, {"G": G}) as staged:
        assert len(bucket.unfinished_uploads()) == 1
        with pytest.raises(CorruptFile, match="missing"):
            store.read("cal", group, 0, "dense")
        staged.place()
        np.testing.assert_array_equal(store.read("cal", group, 0, "dense")["G"], G)
    with store.stage("cal", group, 1, {"G": G}):
        pass  # an upload that lost its slot
    assert bucket.unfinished_uploads() == []
    with pytest.raises(CorruptFile, match="missing"):
        store.read("cal", group, 1, "dense")


def test_a_local_folder_copied_to_the_same_keys_is_read(
    store: ObjectGradientStore, objects: Objects, tmp_path: Path
) -> None:
    group = group_spec()
    dense = {"G": np.ones((6, 4), np.float32)}
    local = LocalGradientStore(tmp_path / "gradients", Staging(tmp_path / "staging"))
    local.create("cal", manifest_of(group))
    local.write("cal", group, 0, dense)
    local.write("cal", group, 1, FACTORS)
    for path in (tmp_path / "gradients").rglob("*"):
        if path.is_file():
            objects.send(path.relative_to(tmp_path / "gradients").as_posix(), path)
    assert_same_bits(store.read("cal", group, 0, "dense"), dense)
    assert_same_bits(store.read("cal", group, 1, "factored"), FACTORS)


def test_a_bucket_that_is_not_there_is_not_an_empty_one(s3_endpoint: str) -> None:
    store = ObjectGradientStore(Bucket(s3_endpoint, "nobody-made-this").objects("part"))
    group = group_spec()
    for attempt in (
        lambda: store.read("cal", group, 0, "dense"),
        lambda: list(store.calibrations()),
        lambda: store.create("cal", manifest_of(group)),
    ):
        with pytest.raises(StorageUnreachable):
            attempt()

"""An adapter on disk: two files in a folder, written so that a crash leaves nothing half done.

::

    adapter.safetensors   <layer>.indices  n, int32 (int64 where 2³¹ entries are not enough)
                          <layer>.values   n, the layer's type
                          <name>           every other trained parameter, under its name
    adapter_config.json   an `AdapterConfig`, with the digest of the file above

A folder is written aside, fsynced, and renamed into place. What stood there before is moved aside
first and deleted last, so a kill at any line leaves the old folder, the new one, or both.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile, InvalidInput, NotFound
from sparsegrad_shared.references import Digest

from .config import Engine, Selection

TENSORS = "adapter.safetensors"
CONFIG = "adapter_config.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerShape(_Strict):
    """One adapted layer: the shapes that its entries are positions in."""

    d_out: int
    d_in: int
    r_out: int
    r_in: int
    entries: Annotated[int, Field(ge=0)]


class TrainingConfig(_Strict):
    """`SparseGradConfig` as it is written down."""

    density: float | None
    entries: int | None
    engine: Engine
    selection: Selection
    train_bias: bool
    trainable: Literal["auto"] | tuple[str, ...]


class AdapterConfig(_Strict):
    """What an adapter is of: its basis, its layers, how it was trained, and its tensors' digest."""

    format: Literal["sparsegrad-adapter"] = "sparsegrad-adapter"
    format_version: Literal[1] = 1
    basis_digest: Digest
    basis_reference: str | None
    model: str | None
    training: TrainingConfig
    layers: dict[str, LayerShape]
    parameters: tuple[str, ...]
    tensors_digest: Digest


def write_adapter(path: Path, tensors: bytes, config: AdapterConfig) -> None:
    """Write an adapter's folder, in place of the adapter that may stand there.

    Args:
        path: the folder.
        tensors: the contents of `adapter.safetensors`.
        config: the contents of `adapter_config.json`, with the digest of `tensors`.

    Raises:
        InvalidInput: when `path` holds something other than an adapter.
        OSError: when the disk refuses.
    """
    path = path.absolute()
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    aside.mkdir()
    try:
        (aside / TENSORS).write_bytes(tensors)
        (aside / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for part in (aside / TENSORS, aside / CONFIG, aside):
            _fsync(part)
        _rename_into_place(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise InvalidInput(f"{path}: expected a folder for the adapter, found a file")
    foreign = {part.name for part in path.iterdir()} - {TENSORS, CONFIG}
    if foreign:
        raise InvalidInput(
            f"{path}: expected an empty folder or an adapter to replace, found "
            f"{', '.join(sorted(foreign)[:3])}; choose another folder"
        )


def _rename_into_place(aside: Path, path: Path) -> None:
    previous = aside.with_suffix(".old")
    if path.exists():
        path.rename(previous)
    aside.rename(path)
    _fsync(path.parent)
    if previous.exists():
        shutil.rmtree(previous)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_adapter(path: Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter's folder and hold the tensors to their digest.

    Raises:
        NotFound: when there is no adapter at `path`.
        CorruptFile: when a file is not what was once written; names the file.
    """
    config = _read_config(path)
    verify_file(path / TENSORS, config.tensors_digest)
    try:
        return config, load_file(path / TENSORS)
    except SafetensorError as error:
        raise CorruptFile(f"{path / TENSORS}: not a safetensors file: {error}") from None


def _left_over(path: Path) -> str:
    """Where an adapter may still be that a killed save had moved aside."""
    found = sorted(path.absolute().parent.glob(f".{path.name}.*.old"))
    return f"; a save that was cut off left the one before in {found[0]}" if found else ""


def _read_config(path: Path) -> AdapterConfig:
    file = path / CONFIG
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} is no adapter: it has no {CONFIG}{_left_over(path)}") from None
    try:
        return AdapterConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise CorruptFile(
            f"{file}: not the config of an adapter: {place}: {first['msg']}"
        ) from None

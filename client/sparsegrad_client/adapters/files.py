"""An adapter on disk: two files in a folder, written so that a crash leaves nothing half done.

::

    adapter.safetensors   <layer>.indices  n, int32 (int64 where 2³¹ entries are not enough)
                          <layer>.values   n, the layer's type
                          <layer>.sample   at most 16, the weight's type; where it is known
                          <name>           every other trained parameter, under its name
    adapter_config.json   an `AdapterConfig`, with the digest of the file above
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sparsegrad_shared.digests import verify_file
from sparsegrad_shared.errors import CorruptFile, InvalidInput, NotFound
from sparsegrad_shared.references import Digest

from ..config import SparseGradConfig
from ..folders import left_over, new_folder

TENSORS = "adapter.safetensors"
CONFIG = "adapter_config.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerRecord(_Strict):
    """One adapted layer: the shapes that its entries are positions in, and their number."""

    d_out: int
    d_in: int
    r_out: int
    r_in: int
    entries: Annotated[int, Field(ge=0)]


class AdapterConfig(_Strict):
    """What an adapter is of: its basis, its layers, how it was trained, and its tensors' digest.

    `training` is null when no one training made it (a sum of adapters). A setting that is not
    there, in a file from before it existed, has its default.
    """

    format: Literal["sparsegrad-adapter"] = "sparsegrad-adapter"
    format_version: Literal[1] = 1
    basis_digest: Digest
    basis_reference: str | None
    model: str | None
    training: SparseGradConfig | None
    layers: dict[str, LayerRecord]
    parameters: tuple[str, ...]
    tensors_digest: Digest


def write_files(path: Path, tensors: bytes, config: AdapterConfig) -> None:
    """Write an adapter's folder, in place of the adapter that may stand there.

    Args:
        path: the folder.
        tensors: the contents of `adapter.safetensors`.
        config: the contents of `adapter_config.json`, with the digest of `tensors`.

    Raises:
        InvalidInput: when `path` holds something other than an adapter.
        OSError: when the disk refuses.
    """
    with new_folder(path, replacing={TENSORS, CONFIG}) as folder:
        (folder / TENSORS).write_bytes(tensors)
        (folder / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_files(path: Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter's folder and hold the tensors to their digest.

    Raises:
        NotFound: when there is no adapter at `path`.
        InvalidInput: when it is an adapter of PEFT.
        CorruptFile: when a file is not what was once written; names the file.
    """
    config = _read_config(path)
    verify_file(path / TENSORS, config.tensors_digest)
    try:
        tensors = load_file(path / TENSORS)
    except SafetensorError as error:
        raise CorruptFile(f"{path / TENSORS}: not a safetensors file: {error}") from None
    _check_names(path, config, tensors)
    return config, tensors


def _read_config(path: Path) -> AdapterConfig:
    file = path / CONFIG
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} is no adapter: it has no {CONFIG}{_hint(path)}") from None
    if b'"peft_type"' in text:  # PEFT's config has the same name
        raise InvalidInput(
            f"{path}: expected an adapter of SparseGrad, found one of PEFT; "
            "peft.PeftModel.from_pretrained loads it"
        )
    try:
        return AdapterConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        reason = f"{place}: {first['msg']}"
    except InvalidInput as error:
        reason = f"training: {error.message}"
    raise CorruptFile(f"{file}: not the config of an adapter: {reason}")


def _hint(path: Path) -> str:
    """Where the adapter may be instead."""
    inside = [found.parent for found in sorted(path.glob(f"*/{CONFIG}"))]
    if inside:
        return f"; there is one in {inside[0]}"
    aside = left_over(path)
    return f"; a save that was cut off left the one before in {aside}" if aside else ""


def _check_names(path: Path, config: AdapterConfig, tensors: dict[str, Tensor]) -> None:
    parts = {f"{name}.{part}" for name in config.layers for part in ("indices", "values")}
    known = {f"{name}.sample" for name in config.layers} & set(tensors)
    expected = parts | known | set(config.parameters)
    if expected != set(tensors):
        odd = sorted(expected ^ set(tensors))
        raise CorruptFile(f"{path}: config and tensors disagree about {', '.join(odd[:5])}")
    for name, record in config.layers.items():
        found = tensors[f"{name}.indices"].numel()
        if found != record.entries:
            raise CorruptFile(
                f"{path}: layer {name!r}: config and tensors disagree about the number of "
                f"entries, {record.entries} and {found}"
            )

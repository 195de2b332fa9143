"""What a SparseGrad adapter is, as PEFT writes it into ``adapter_config.json``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from peft import PeftConfig
from peft.utils import INCLUDE_LINEAR_LAYERS_SHORTHAND

from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.references import DIGEST, BasisReference

from ...config import SparseGradConfig
from ...home import bases_folder
from .basis_copy import COPIES, copy_basis
from .registration import SPARSEGRAD


@dataclass
class SparseGradPeftConfig(PeftConfig):
    """A SparseGrad adapter on a shared basis.

    Only the leading block of each layer's coordinates trains, so the adapter costs what LoRA costs.
    How large it is follows from one of `density`, `entries` and `block`; the default is the
    paper's density, 1% of the layer's weights. A loaded adapter has the entries that its file has.

    Args:
        basis: ``team/name``, ``team/name@3``, ``team/name:alias`` or ``sha256:…``; fetched from
            the server that `SPARSEGRAD_SERVER` names, or the embedded one, or the cache.
        basis_digest: which basis exactly; filled in when the basis is fetched. An adapter is
            loaded on the basis of this digest, wherever `basis` points to by then.
        target_modules: names or a regular expression, as for other PEFT methods, that narrow down
            the layers that the basis names; all of them where it is not given.
        modules_to_save: modules that train as a whole beside the adapter, such as a new head.
        density: share of a layer's weights that train.
        entries: the same as a number of entries a layer.
        block: the same as rows and columns of the block.
        save_basis_copy: whether `save_pretrained` also writes the basis into the adapter's
            folder, so that the folder loads without a server.
        init_weights: False starts from random values in place of zeros, which is for tests.

    Raises:
        InvalidInput: when the settings contradict one another or cannot be used.
        InvalidReference: when `basis` is not a reference to a basis.
    """

    basis: str | None = None
    basis_digest: str | None = None
    target_modules: list[str] | set[str] | str | None = None
    modules_to_save: list[str] | None = None
    density: float | None = None
    entries: int | None = None
    block: list[int] | tuple[int, int] | None = None
    save_basis_copy: bool = False
    init_weights: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = SPARSEGRAD
        if self.target_modules == INCLUDE_LINEAR_LAYERS_SHORTHAND:
            self.target_modules = None  # every linear layer that the basis has
        elif isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if self.block is not None:
            self.block = list(self.block)  # as JSON has it
        self.sizes()
        self._check_basis()

    def _check_basis(self) -> None:
        digest = BasisReference.parse(self.basis).digest if self.basis is not None else None
        if self.basis_digest is None:
            self.basis_digest = digest
        elif not re.fullmatch(DIGEST, self.basis_digest):
            raise InvalidInput(
                f"basis_digest: expected sha256:<64 hexadecimal digits>, got {self.basis_digest!r}"
            )
        elif digest not in (None, self.basis_digest):
            raise InvalidInput(
                f"basis={self.basis!r} and basis_digest={self.basis_digest!r} contradict one "
                "another; give one of them"
            )

    def sizes(self) -> SparseGradConfig:
        """How large a layer's block is, as the adapter engine is told it.

        Raises:
            InvalidInput: when the settings contradict one another or cannot be used.
        """
        return SparseGradConfig(
            density=self.density,
            entries=self.entries,
            block=None if self.block is None else cast("tuple[int, int]", tuple(self.block)),
            selection="block",
        )

    def save_pretrained(self, save_directory: str | Path, **kwargs: object) -> None:
        """Write the config, and the basis beside it where `save_basis_copy` asks for it.

        Raises:
            CorruptFile: when the cached basis that is to be copied is damaged or gone.
        """
        super().save_pretrained(str(save_directory), **kwargs)
        if self.save_basis_copy and self.basis_digest is not None:
            copy_basis(self.basis_digest, bases_folder(), Path(save_directory) / COPIES)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        subfolder: str | None = None,
        **kwargs: object,
    ) -> PeftConfig:
        """Read a config; a copy of the basis in the same folder goes into the cache.

        Raises:
            CorruptFile: when that copy is damaged.
        """
        config: PeftConfig = super().from_pretrained(
            str(pretrained_model_name_or_path), subfolder, **kwargs
        )
        copies = Path(pretrained_model_name_or_path, subfolder or "", COPIES)
        if isinstance(config, cls) and config.basis_digest is not None and copies.is_dir():
            copy_basis(config.basis_digest, copies, bases_folder())
        return config

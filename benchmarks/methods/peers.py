"""The peers, each as PEFT implements it, with as many trained values as asked for or just below.

VeRA trains vectors along frozen random projections: one value for each of its rank and each
output. As many values as the others would take projections wider than the layers themselves, so
it has the rank that its paper uses, and fewer values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from .method import Prepared, Setting, train_only

if TYPE_CHECKING:
    from peft import PeftConfig

PAPER_RANK = 7  # the paper's LoRA
VERA_RANK = 1024

Configure = Callable[[Setting], "PeftConfig"]


def peer(configure: Configure) -> Callable[[Setting], Prepared]:
    """A method of PEFT."""

    def prepare(setting: Setting) -> Prepared:
        from peft import get_peft_model

        before = {id(parameter) for parameter in setting.model.parameters()}
        with warnings.catch_warnings():
            # FourierFT and others warn of options that are theirs by default.
            warnings.simplefilter("ignore", UserWarning)
            # The model itself is changed; the wrapper, with what it is good for, is not needed.
            get_peft_model(setting.model, configure(setting))
        own = [p for p in setting.model.parameters() if p.requires_grad and id(p) not in before]
        return train_only(setting, own)

    return prepare


def _ranks(setting: Setting, *, magnitudes: bool = False) -> dict[str, int]:
    """For each layer, the rank at which two thin factors hold no more values than asked for.

    Args:
        setting: the layers, and how many values each may train.
        magnitudes: whether a value for each output comes with them.
    """
    return {
        layer.path: max(
            1,
            (setting.entries_of(group) - magnitudes * group.d_out) // (group.d_out + group.d_in),
        )
        for group in setting.groups
        for layer in group.layers
    }


def _entries(setting: Setting) -> dict[str, int]:
    return {
        layer.path: setting.entries_of(group) for group in setting.groups for layer in group.layers
    }


def lora(rank: int | None = None, dropout: float = 0.0, dora: bool = False) -> Configure:
    """LoRA, or DoRA, of this rank; of the rank that fits the density when None."""

    def configure(setting: Setting) -> PeftConfig:
        from peft import LoraConfig

        ranks = dict.fromkeys(setting.paths, rank) if rank else _ranks(setting, magnitudes=dora)
        return LoraConfig(
            rank_pattern=ranks,
            alpha_pattern={path: 2 * r for path, r in ranks.items()},
            lora_dropout=dropout,
            use_dora=dora,
            target_modules=setting.paths,
        )

    return configure


def fourierft(setting: Setting) -> PeftConfig:
    """Coefficients of the Fourier transform of a layer's change."""
    from peft import FourierFTConfig

    return FourierFTConfig(target_modules=setting.paths, n_frequency_pattern=_entries(setting))


def waveft(setting: Setting) -> PeftConfig:
    """Coefficients of the wavelet transform of a layer's change."""
    from peft import WaveFTConfig

    return WaveFTConfig(target_modules=setting.paths, n_frequency_pattern=_entries(setting))


def shira(setting: Setting) -> PeftConfig:
    """Entries of the weight, drawn at random."""
    from peft import ShiraConfig

    return ShiraConfig(target_modules=setting.paths, r=min(_ranks(setting).values()), random_seed=0)


def super_tuning(setting: Setting) -> PeftConfig:
    """Entries of the weight, those that are largest."""
    from peft import SupertuningConfig

    return SupertuningConfig(target_modules=setting.paths, sparsity=1 - setting.density)


def frod(setting: Setting) -> PeftConfig:
    """Sparse rotations of a basis that the weights of a role share."""
    from peft import FrodConfig

    layers = [group for group in setting.groups for _ in group.layers]
    values = sum(setting.entries_of(group) for group in layers)
    diagonals = sum(group.d_in for group in layers)
    squares = sum(group.d_in**2 for group in layers)
    return FrodConfig(
        target_modules=setting.paths,
        sparse_rate=max(1e-6, (values - diagonals) / squares),
        progressbar=False,
    )


def vera(setting: Setting) -> PeftConfig:
    """Vectors along frozen random projections that all layers share."""
    from peft import VeraConfig

    return VeraConfig(target_modules=setting.paths, r=VERA_RANK)

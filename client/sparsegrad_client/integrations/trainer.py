"""The Hugging Face `Trainer`: the optimizer is one argument, and a callback minds the checkpoints.

::

    trainer = Trainer(
        model,  # made by sparsify
        args,
        train_dataset=...,
        optimizers=(build_optimizer(model, lr=1e-3, head_lr=5e-4), None),
        callbacks=[SparseGradCallback()],
    )
    trainer.train(resume_from_checkpoint=...)

The optimizer alone is enough to train and to resume exactly: its state and the model's hold the
moments, the support and the step. It sets the learning rates, in place of the `Trainer`'s
arguments; the schedule is the `Trainer`'s. With a `model_init`, whose models are not there yet,
give ``optimizer_cls_and_kwargs=(lambda: build_optimizer, {"lr": 1e-3})`` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import distributed, nn
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.training_args import TrainingArguments

from sparsegrad_shared.errors import InvalidInput

from ..adapters import adapter_of
from ..fit import BasisFit, Energy
from ..fit.basis_fit import EVERY
from ..layers import require_sparse_layers
from ..left_out import leave_out
from ..optim import MaskedAdam
from .foundation import Foundation, frozen_names

ADAPTER_FOLDER = "adapter"


class SparseGradCallback(TrainerCallback, ExportableState):
    """Checkpoints that hold what training changes, with an adapter beside.

    * Each checkpoint gets a folder ``adapter``, as `save_adapter` writes it; at the end of
      training the output folder gets one too (of the best model, where the `Trainer` loads it).
    * The `Trainer`'s own ``model.safetensors`` in a checkpoint leaves the frozen weights out. To
      resume, build the model as before. `Trainer.save_model` after training is not touched.
    * A checkpoint of another basis, engine or pre-trained model is refused, and so is an optimizer
      that cannot train the layers.
    * Now and then gradients are held against the basis (`BasisFit`): there is a warning when they
      no longer fit, and what was found is in the `Trainer`'s log history, as
      ``fit/<group>/energy``, ``…/original`` and ``…/captured``.

    Args:
        fit_every: steps between two looks at the gradients; None for none.

    Attributes:
        fit: what was found, once training has begun; None without a look.
    """

    def __init__(self, *, fit_every: int | None = EVERY) -> None:
        self.fit: BasisFit | None = None
        self._fit_every = fit_every
        # Set while training: what `state` writes into a checkpoint.
        self.foundation: dict[str, str] | None = None
        self._frozen: set[str] = set()

    def state(self) -> dict[str, Any]:
        """What the `Trainer` writes of this callback into ``trainer_state.json``."""
        return {"args": {}, "attributes": {"foundation": self.foundation}}

    def on_init_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Refuse a model that is not sparse; a checkpoint may be loaded from here on."""
        self._leave_out(kwargs["model"], frozen_names(kwargs["model"]))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Hold the model to the checkpoint that it resumes, and the optimizer to the model."""
        model = kwargs["model"]
        _check_optimizer(model, kwargs["optimizer"])
        foundation = Foundation.of(model)
        saved = _saved_foundation(state)
        if saved is not None:
            foundation.check_against(saved)
        self.foundation = asdict(foundation)
        self._leave_out(model, frozen_names(model))
        if self._fit_every is not None:
            together = distributed.is_initialized() and distributed.get_world_size() > 1
            ranks = distributed.group.WORLD if together else None
            self.fit = BasisFit(model, every=self._fit_every, process_group=ranks)
            self.fit.resume(state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Look whether the basis fits, and whether a block moved: a checkpoint then holds more."""
        sample = self.fit.step() if self.fit else None
        if sample:
            state.log_history.append(_fit_log(sample) | {"step": state.global_step})
        model = kwargs["model"]
        frozen = frozen_names(model)
        if frozen != self._frozen:
            self._leave_out(model, frozen)
            self.foundation = asdict(Foundation.of(model))

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Put an adapter beside the checkpoint."""
        _save_adapter(kwargs["model"], args, state, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Put an adapter into the output folder; whole models can be saved again."""
        model = kwargs["model"]
        if self.fit is not None:
            self.fit.close()
        self.foundation = None
        self._leave_out(model, set())
        _save_adapter(model, args, state, ".")

    def _leave_out(self, model: nn.Module, frozen: set[str]) -> None:
        leave_out(model, frozen)
        self._frozen = frozen


def _fit_log(sample: Mapping[str, Energy]) -> dict[str, float]:
    return {
        f"fit/{group}/{name}": share
        for group, energy in sample.items()
        for name, share in (
            ("energy", energy.top_share),
            ("original", energy.original_share),
            ("captured", energy.captured_share),
        )
    }


def _save_adapter(
    model: nn.Module, args: TrainingArguments, state: TrainerState, folder: str
) -> None:
    # A search over settings has a folder for each trial, which callbacks are not told.
    if state.is_hyper_param_search:
        return
    adapter = adapter_of(model)  # under FSDP2 every rank has to ask, and one saves
    if state.is_world_process_zero:
        adapter.save(Path(str(args.output_dir)) / folder / ADAPTER_FOLDER)


def _saved_foundation(state: TrainerState) -> Foundation | None:
    """What the checkpoint that is resumed stands on; none in a run from the start."""
    # Made as a list of callbacks; once made, and as read from a file, it is this.
    saved = cast("dict[str, Any]", state.stateful_callbacks)
    of_callback = saved.get(SparseGradCallback.__name__, {"attributes": {"foundation": None}})
    foundation = of_callback["attributes"]["foundation"]
    return foundation and Foundation(**foundation)


def _check_optimizer(model: nn.Module, optimizer: Any) -> None:  # noqa: ANN401
    optimizer = getattr(optimizer, "optimizer", optimizer)  # what Accelerate wrapped
    engines = {layer.engine for layer in require_sparse_layers(model).values()}
    if engines != {"adapter"} and not isinstance(optimizer, MaskedAdam):
        raise InvalidInput(
            f"optimizer: expected one of build_optimizer, got a {type(optimizer).__name__}, which "
            f"cannot train the engine {engines.pop()!r}; give the Trainer "
            "optimizers=(build_optimizer(model), None)"
        )

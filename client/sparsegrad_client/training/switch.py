"""The moment at which a training leaves its basis, on disk.

::

    OUTPUT/recalibration/adapter/     what was learned before, in the basis before
    OUTPUT/recalibration/switch.json  a `Switch`

The training goes on from these files alone, in the process that wrote them as in a later one: the
pre-trained weights, the adapter merged into them, a new basis, new moments. So whatever cuts it
off afterwards, nothing that was learned before is lost, and the adapters before and after make
the model, one on the other, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError
from torch import nn

from sparsegrad_shared.digests import digest_of
from sparsegrad_shared.errors import CorruptFile, InvalidInput
from sparsegrad_shared.references import Digest

from ..adapters import save_adapter
from ..disk import flush
from ..fit import Misfit
from ..layers import require_sparse_layers
from .evaluation import Evaluation
from .output import ADAPTER_FOLDER, SWITCH_FILE, SWITCH_FOLDER, awaits_recalibration
from .record import RecordPart, Step


class Switch(RecordPart):
    """What a training was when it left its basis.

    Attributes:
        step: optimizer steps done.
        settings: a digest of what the training was asked to do.
        basis: the basis before, by its digest.
        shown: the basis before, as people call it.
        misfits: why it was left, a line for each group.
        losses: of the steps done.
        loss: on the evaluation data, before the training.
        score: the metric there; None where the loss is all there is.
        calibration: id of the calibration of the next version; None before it has one.
        name: what it publishes.
    """

    step: Step
    settings: Digest
    basis: Digest
    shown: str
    misfits: tuple[str, ...]
    losses: tuple[float, ...]
    loss: float
    score: float | None
    calibration: str | None = None
    name: str | None = None

    @property
    def before(self) -> Evaluation:
        """The model before the training, on the evaluation data."""
        return Evaluation(self.loss, self.score)


def settings_digest(*settings: object) -> Digest:
    """A digest of what a training is asked to do; the same settings give the same."""
    return digest_of([repr(settings).encode()])


def write_switch(
    output: Path,
    model: nn.Module,
    settings: Digest,
    misfits: Sequence[Misfit],
    losses: Sequence[float],
    before: Evaluation,
) -> Switch:
    """Bring to the disk what was learned so far, and why the basis is left.

    Raises:
        OSError: when the disk refuses.
    """
    basis = next(iter(require_sparse_layers(model).values())).basis
    switch = Switch(
        step=len(losses),
        settings=settings,
        basis=basis.digest,
        shown=str(basis),
        misfits=tuple(map(str, misfits)),
        losses=tuple(losses),
        **asdict(before),
    )
    save_adapter(model, output / SWITCH_FOLDER / ADAPTER_FOLDER)
    note(output, switch)
    return switch


def note(output: Path, switch: Switch) -> None:
    """Put a switch in the place of the one that was written before."""
    path = output / SWITCH_FOLDER / SWITCH_FILE
    aside = path.with_suffix(".new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(switch.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    flush(path.parent)


def pending_switch(output: Path, settings: Digest) -> Switch | None:
    """Where a training goes on that left its basis and was cut off; None when there is none.

    Raises:
        InvalidInput: when that training was asked to do something else.
        CorruptFile: when the file is damaged.
    """
    path = output / SWITCH_FOLDER / SWITCH_FILE
    if not awaits_recalibration(output):
        return None
    try:
        switch = Switch.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptFile(f"{path}: not what was once written: {error}") from None
    if switch.settings != settings:
        raise InvalidInput(
            f"--output {output}: a training was cut off there while it changed its basis; give "
            "the same options as then to go on with it, or another folder"
        )
    return switch

"""The loss and the metric of a model on data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from sklearn.metrics import accuracy_score, matthews_corrcoef
from torch import Tensor, nn

from sparsegrad_shared.errors import InvalidInput

from ..data.encoding import IGNORED

Metric = Literal["accuracy", "matthews", "loss"]
METRICS: Mapping[Metric, str] = {
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "loss": "loss",
}


@dataclass(frozen=True)
class Evaluation:
    """What a model does on data.

    Attributes:
        loss: mean over the examples, or over the tokens that the loss looks at.
        score: the metric, higher is better; None where the loss is all there is.
    """

    loss: float
    score: float | None


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], metric: Metric = "accuracy"
) -> Evaluation:
    """Measure a model in evaluation mode; its mode is put back afterwards.

    Args:
        model: returns `loss` and `logits` (examples × classes, or examples × tokens × words).
        batches: keyword arguments of the model, `labels` among them.
        metric: "accuracy" and "matthews" compare the largest logit with the class.

    Raises:
        InvalidInput: when there is no batch, or the loss is not finite.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total, weight = 0.0, 0
    predicted: list[int] = []
    expected: list[int] = []
    try:
        for batch in batches:
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            count = _weight(moved["labels"])
            if not count:  # the mean over nothing is NaN
                continue
            output = model(**moved)
            total += float(output.loss) * count
            weight += count
            if metric != "loss":
                predicted += output.logits.argmax(dim=-1).tolist()
                expected += moved["labels"].tolist()
    finally:
        model.train(was_training)
    if not weight:
        raise InvalidInput("there is nothing to evaluate on: the batches hold no labels")
    if not math.isfinite(total):
        raise InvalidInput(
            f"expected a finite loss on what the model is measured on, got {total}: training has "
            "diverged; lower the learning rate"
        )
    return Evaluation(total / weight, _score(metric, expected, predicted))


def _weight(labels: Tensor) -> int:
    """What a batch's mean loss is a mean over."""
    if labels.dim() == 1:
        return len(labels)
    return int((labels[:, 1:] != IGNORED).sum())  # a causal model predicts from the second on


def _score(metric: Metric, expected: list[int], predicted: list[int]) -> float | None:
    match metric:
        case "accuracy":
            return float(accuracy_score(expected, predicted))
        case "matthews":
            return float(matthews_corrcoef(expected, predicted))
        case "loss":
            return None

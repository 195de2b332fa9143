"""Evaluation against means and metrics taken over all examples at once."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import matthews_corrcoef
from support.sparse_models import tiny_llama
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from sparsegrad_client.data.encoding import IGNORED
from sparsegrad_client.training.evaluation import evaluate
from sparsegrad_shared.errors import InvalidInput


class Logits(nn.Module):
    """Answers with the logits that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, logits: Tensor, labels: Tensor) -> SequenceClassifierOutput:
        logits = logits * self.scale
        return SequenceClassifierOutput(
            loss=nn.functional.cross_entropy(logits, labels), logits=logits
        )


def test_batches_of_any_size_give_the_means_over_all_examples() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(23, 2, dtype=torch.float64), torch.randint(0, 2, (23,))
    sizes = (1, 9, 13)
    batches = [
        {"logits": part, "labels": label}
        for part, label in zip(logits.split(sizes), labels.split(sizes), strict=True)
    ]
    model = Logits().train()
    accuracy, matthews = (evaluate(model, batches, metric) for metric in ("accuracy", "matthews"))
    predicted = logits.argmax(dim=1)
    assert accuracy.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert accuracy.score == pytest.approx((predicted == labels).double().mean().item())
    assert matthews.score == pytest.approx(matthews_corrcoef(labels, predicted))
    assert model.training


def test_a_causal_models_loss_is_a_mean_over_tokens() -> None:
    model = tiny_llama().eval()
    tokens = torch.randint(0, 40, (4, 12))
    labels = tokens.clone()
    labels[0, :9] = labels[2, :3] = IGNORED
    batches = [
        {"input_ids": part, "labels": label}
        for part, label in zip(tokens.split((1, 3)), labels.split((1, 3)), strict=True)
    ]
    found = evaluate(model, batches, "loss")
    with torch.no_grad():
        logits = model(input_ids=tokens).logits[:, :-1]
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
    assert found.loss == pytest.approx(expected.item())
    assert found.score is None


def test_a_batch_whose_labels_are_all_ignored_says_nothing() -> None:
    model = tiny_llama().eval()
    tokens = torch.randint(0, 40, (2, 6))
    told = {"input_ids": tokens, "labels": tokens}
    silent = {"input_ids": tokens, "labels": torch.full_like(tokens, IGNORED)}
    assert evaluate(model, [told, silent], "loss") == evaluate(model, [told], "loss")


def test_a_loss_that_is_not_finite_is_refused() -> None:
    batch = {"logits": torch.full((2, 2), torch.nan), "labels": torch.tensor([0, 1])}
    with pytest.raises(InvalidInput, match="finite loss .* got nan: training has diverged"):
        evaluate(Logits(), [batch])


def test_nothing_to_evaluate_on_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to evaluate on"):
        evaluate(Logits(), [])

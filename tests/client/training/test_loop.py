"""The training loop against the same steps written out."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from sparsegrad_client.data.batches import Batches
from sparsegrad_client.training.loop import Schedule, Step, steps, train
from sparsegrad_shared.errors import InvalidInput


class Classifier(nn.Module):
    """One linear layer over the first two tokens of an example, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(2, 3, dtype=torch.float64)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
    ) -> SequenceClassifierOutput:
        logits = self.linear(input_ids.double())
        return SequenceClassifierOutput(
            loss=nn.functional.cross_entropy(logits, labels), logits=logits
        )


def _batches(count: int = 10, size: int = 2) -> Batches:
    examples = [
        {"input_ids": [index, -index], "attention_mask": [1, 1], "labels": index % 3}
        for index in range(count)
    ]
    return Batches(examples, batch_size=size, pad_token_id=0)


@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_the_loop_does_the_steps_written_out(accumulation: int) -> None:
    schedule = Schedule(epochs=2, accumulation=accumulation, warmup=0.3, max_norm=0.5)
    trained, expected = Classifier(), Classifier()
    batches = _batches()
    losses = train(trained, torch.optim.SGD(trained.parameters(), lr=0.1), batches, schedule)

    steps = schedule.steps(len(batches))
    number = 0
    for epoch in range(2):
        parts = list(batches.epoch(epoch))
        for begin in range(0, len(parts), accumulation):
            together = parts[begin : begin + accumulation]
            loss = sum(expected(**part).loss for part in together) / len(together)
            gradient = torch.autograd.grad(loss, list(expected.parameters()))
            norm = torch.sqrt(sum(part.square().sum() for part in gradient))
            scale = min(1.0, 0.5 / (norm.item() + 1e-6))
            lr = 0.1 * schedule.factor(number, steps)
            assert losses[number] == pytest.approx(loss.item(), rel=1e-12)
            with torch.no_grad():
                for parameter, part in zip(expected.parameters(), gradient, strict=True):
                    parameter -= lr * scale * part
            number += 1
    assert len(losses) == number == steps
    for ours, theirs in zip(trained.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_learning_rates_rise_then_fall_to_zero() -> None:
    schedule = Schedule(warmup=0.2)
    factors = [schedule.factor(step, 20) for step in range(21)]
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert min(factors[:-1]) > 0
    assert (max(factors), factors[-1]) == (1.0, 0.0)


def test_every_step_is_told_and_the_mode_is_put_back() -> None:
    model = Classifier().eval()
    told: list[Step] = []
    losses = train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        _batches(),
        Schedule(epochs=3),
        told.append,
    )
    assert [step.number for step in told] == list(range(1, 16))
    assert {step.total for step in told} == {15}
    assert [step.loss for step in told] == losses
    assert not model.training


def test_a_training_that_is_taken_up_does_the_steps_that_are_left() -> None:
    schedule = Schedule(epochs=3, accumulation=2, warmup=0.3)
    whole, parted = Classifier().eval(), Classifier().eval()
    expected = list(steps(whole, torch.optim.SGD(whole.parameters(), lr=0.1), _batches(), schedule))
    found: list[Step] = []
    for done, until in ((0, 4), (4, 9)):
        optimizer = torch.optim.SGD(parted.parameters(), lr=0.1)
        with closing(steps(parted, optimizer, _batches(), schedule, done=done)) as taken:
            found += itertools.islice(taken, until - done)
            assert parted.training
        assert not parted.training
    assert found == expected
    assert [step.lrs for step in found] == [
        (0.1 * schedule.factor(number, 9),) for number in range(9)
    ]
    assert all(map(torch.equal, parted.parameters(), whole.parameters()))


def test_a_loss_that_is_not_finite_stops_before_it_does_harm() -> None:
    model = Classifier()
    with torch.no_grad():
        model.linear.bias[1] = torch.inf
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InvalidInput, match="the loss at step 1 is nan"):
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), _batches())
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"accumulation": 0}, {"warmup": 1.0}, {"max_norm": 0.0}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Schedule(**settings)  # type: ignore[arg-type]

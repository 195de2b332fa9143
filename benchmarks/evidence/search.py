"""The learning rate of a method on a task: Optuna's, by as many runs for every method.

The first rate that is tried is a usual one for the method; the others are proposed from what came
out so far. Rows of the training set that nothing was trained on decide, and a seed
that no figure is made of. What is proposed follows from the runs so far alone, so that a search
that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import GPSampler
from optuna.trial import create_trial

from sparsegrad_shared.errors import InvalidInput

SPAN = 8.0  # the rates lie within this factor of the first one
DIGITS = 2  # of a rate: what differs less is the same

Try = tuple[float, float]  # a learning rate, and the score it came to


def propose(first: float, tried: Sequence[Try]) -> float:
    """The next rate to try."""
    if not tried:
        return first
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distribution = FloatDistribution(first / SPAN, first * SPAN, log=True)
    sampler = GPSampler(seed=len(tried), n_startup_trials=2, deterministic_objective=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for lr, score in _finite(tried):
        inside = min(max(lr, distribution.low), distribution.high)
        study.add_trial(
            create_trial(params={"lr": inside}, distributions={"lr": distribution}, value=score)
        )
    proposed = study.ask({"lr": distribution}).params["lr"]
    return float(f"{proposed:.{DIGITS - 1}e}")


def search(first: float, budget: int, attempt: Callable[[float], float]) -> float:
    """The best rate after `budget` runs; `attempt` makes one and gives its score.

    A run whose loss left the finite numbers scores minus infinity.

    Raises:
        InvalidInput: when every run failed.
    """
    tried: list[Try] = []
    for _ in range(budget):
        lr = propose(first, tried)
        tried.append((lr, attempt(lr)))
    best, score = max(tried, key=lambda attempted: attempted[1])
    if not math.isfinite(score):
        raise InvalidInput(f"every rate failed: {', '.join(f'{lr:g}' for lr, _ in tried)}")
    return best


def _finite(tried: Sequence[Try]) -> list[Try]:
    """What a sampler can learn from: a failure counts as the worst that was seen."""
    scores = [score for _, score in tried if math.isfinite(score)]
    if not scores:
        return []
    return [(lr, score if math.isfinite(score) else min(scores)) for lr, score in tried]

"""The bases that runs need: each calibrated once, through the basis service of this machine."""

from __future__ import annotations

from methods import Method

from sparsegrad_client import Basis, calibrate
from sparsegrad_client.groups import Share

from .fine_tuning import HEAD_LR
from .tasks import Data, Task

CALIBRATION_SEED = 1000  # no run's: neither the order of its rows nor its head


class Bases:
    """Bases by task, sharing and rank.

    Args:
        steps: training steps whose gradients a basis is made of.

    Attributes:
        steps: the same.
    """

    def __init__(self, steps: int = 30) -> None:
        self.steps = steps
        self._made: dict[tuple[str, str, Share, int | None], Basis] = {}

    def of(self, method: Method, task: Task, data: Data) -> Basis | None:
        """The basis that a method needs for a task, if it needs one."""
        if method.share is None:
            return None
        key = (task.name, task.model, method.share, method.rank)
        if key not in self._made:
            self._made[key] = self._calibrate(method, task, data)
        return self._made[key]

    def _calibrate(self, method: Method, task: Task, data: Data) -> Basis:
        model = task.fresh_model(CALIBRATION_SEED)
        assert method.share is not None  # or no basis was asked for
        return calibrate(
            model,
            data.training(CALIBRATION_SEED),
            f"local/evidence-{task.name.lower()}-{method.share}",
            spec=task.spec(model, method.share),
            steps=self.steps,
            rank=method.rank,
            head_lr=HEAD_LR,
        )

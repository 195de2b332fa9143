"""How a model is to be made sparse: a value object, checked when it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from sparsegrad_shared.errors import InvalidInput

Engine = Literal["auto", "reference", "folded"]
Selection = Literal["dynamic"]

DEFAULT_DENSITY = 0.01  # the paper's share of a layer's entries


@dataclass(frozen=True)
class SparseGradConfig:
    """What `sparsify` does to each layer, and what else of the model trains.

    Args:
        density: share of a layer's r_out × r_in coordinates that one optimizer step changes;
            0.01, the paper's, where neither this nor `entries` is given.
        entries: the same as a number of entries a layer (the paper's LLaMA-2 setting is 100,000);
            a layer that has fewer coordinates trains them all.
        engine: how the layer computes. ``folded`` keeps a plain weight and costs about what a
            plain layer does, ``reference`` is the paper's layer word for word, and ``auto``
            takes ``folded``.
        selection: ``dynamic``: each optimizer step changes the entries whose gradient is largest.
        train_bias: whether the biases of the sparse layers train too.
        trainable: which parameters outside the sparse layers train: ``auto`` (the task head on
            top of a transformers backbone), or regular expressions that are searched for in
            parameter names; an empty tuple freezes everything else.

    Raises:
        InvalidInput: when the settings contradict one another or cannot be used.
    """

    density: float | None = None
    entries: int | None = None
    engine: Engine = "auto"
    selection: Selection = "dynamic"
    train_bias: bool = False
    trainable: Literal["auto"] | tuple[str, ...] = "auto"

    def __post_init__(self) -> None:
        if self.density is not None and self.entries is not None:
            raise InvalidInput(
                f"density={self.density} and entries={self.entries} contradict one another; "
                "give one of them"
            )
        if self.density is None and self.entries is None:
            object.__setattr__(self, "density", DEFAULT_DENSITY)
        if self.density is not None and not 0 < self.density <= 1:
            raise InvalidInput(f"density: expected a share over 0 and up to 1, got {self.density}")
        if self.entries is not None and self.entries < 1:
            raise InvalidInput(f"entries: expected at least 1, got {self.entries}")
        self._check_choice("engine", self.engine, get_args(Engine))
        self._check_choice("selection", self.selection, get_args(Selection))
        self._check_trainable()

    @staticmethod
    def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
        if value not in choices:
            expected = " or ".join(repr(choice) for choice in choices)
            raise InvalidInput(f"{name}: expected {expected}, got {value!r}")

    def _check_trainable(self) -> None:
        if isinstance(self.trainable, str):
            if self.trainable != "auto":
                raise InvalidInput(
                    f"trainable: expected 'auto' or a tuple of regular expressions, "
                    f"got the text {self.trainable!r}; write ({self.trainable!r},)"
                )
            return
        for pattern in self.trainable:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidInput(
                    f"trainable: {pattern!r} is not a regular expression: {error}"
                ) from None

    def entries_of(self, coordinates: int) -> int:
        """How many of a layer's `coordinates` (r_out × r_in) one step changes: at least one."""
        if self.entries is not None:
            return min(self.entries, coordinates)
        assert self.density is not None  # noqa: S101  # __post_init__ set one of the two
        return max(1, round(self.density * coordinates))

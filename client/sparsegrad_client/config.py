"""How a model is to be made sparse: a value object, checked when it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from sparsegrad_shared.errors import InvalidInput

Engine = Literal["auto", "reference", "folded", "adapter"]
ChosenSelection = Literal["dynamic", "frozen", "block"]
Selection = Literal["auto", ChosenSelection]
Accumulate = Literal["gradients", "selected"]
ErrorFeedback = Literal["auto"] | bool

DEFAULT_DENSITY = 0.01  # the paper's share of a layer's entries


@dataclass(frozen=True)
class SparseGradConfig:
    """What `sparsify` does to each layer, and what else of the model trains.

    Args:
        density: share of a layer's d_out × d_in entries that one optimizer step changes; 0.01,
            the paper's, where none of `density`, `entries` and `block` is given.
        entries: the same as a number of entries a layer (the paper's LLaMA-2 setting is 100,000);
            a layer that has fewer coordinates trains them all.
        block: rows and columns of W̃ that train, for the selection ``block``; where it is not
            given, the block of as many entries as above that holds the most energy.
        engine: how the layer computes. ``folded`` keeps a plain float32 weight and costs about
            what a plain layer does, ``adapter`` leaves the weight frozen, in whatever type it is,
            and adds a small product beside it, ``reference`` is the paper's layer word for word,
            and ``auto`` picks one by what the model is and by `selection`.
        selection: which entries a step changes. ``dynamic``: those whose gradient is largest, at
            each step anew (the paper's); ``frozen``: the entries that had the most energy in a
            warm-up, for good; ``block``: few rows and few columns, for good or until they are
            moved; ``auto``: ``block`` for the engine ``adapter`` and where the weights cannot
            take small steps, ``dynamic`` otherwise.
        accumulate: what several backward passes before one step add up, for the selection
            ``dynamic``. ``gradients``: whole gradients, of whose sum the step keeps the largest
            entries; ``selected``: the largest entries of each pass (the paper's published code),
            all of which the step changes.
        error_feedback: whether what a step does not keep of its gradient is added to the next
            one's, for the selection ``dynamic``: a small entry that always points the same way is
            kept in the end, where otherwise it never is. It costs the memory of one gradient a
            layer, and more entries get their turn, and with it moments and a place in the adapter.
            (Karimireddy et al., 2019; for Adam, MicroAdam, Modoranu et al., 2024.) ``auto``:
            where it is possible, and on a GPU only if the memory will last. The paper has none.
        train_bias: whether the biases of the sparse layers train too.
        trainable: which parameters outside the sparse layers train: ``auto`` (the task head on
            top of a transformers backbone), or regular expressions that are searched for in
            parameter names; an empty tuple freezes everything else.

    Raises:
        InvalidInput: when the settings contradict one another or cannot be used.
    """

    density: float | None = None
    entries: int | None = None
    block: tuple[int, int] | None = None
    engine: Engine = "auto"
    selection: Selection = "auto"
    accumulate: Accumulate = "gradients"
    error_feedback: ErrorFeedback = "auto"
    train_bias: bool = False
    trainable: Literal["auto"] | tuple[str, ...] = "auto"

    def __post_init__(self) -> None:
        self._check_size()
        self._check_choice("engine", self.engine, get_args(Engine))
        self._check_choice("selection", self.selection, get_args(Selection))
        self._check_choice("accumulate", self.accumulate, get_args(Accumulate))
        if not isinstance(self.error_feedback, bool) and self.error_feedback != "auto":
            raise InvalidInput(
                f"error_feedback: expected 'auto', True or False, got {self.error_feedback!r}"
            )
        self._check_together()
        self._check_trainable()

    def _check_size(self) -> None:
        sizes = {"density": self.density, "entries": self.entries, "block": self.block}
        given = [f"{name}={size}" for name, size in sizes.items() if size is not None]
        if len(given) > 1:
            raise InvalidInput(f"{' and '.join(given)} contradict one another; give one of them")
        if not given:
            object.__setattr__(self, "density", DEFAULT_DENSITY)
        if self.density is not None and not 0 < self.density <= 1:
            raise InvalidInput(f"density: expected a share over 0 and up to 1, got {self.density}")
        if self.entries is not None and self.entries < 1:
            raise InvalidInput(f"entries: expected at least 1, got {self.entries}")
        if self.block is not None and (len(self.block) != 2 or min(self.block) < 1):
            raise InvalidInput(f"block: expected rows and columns, both over 0, got {self.block}")

    def _check_together(self) -> None:
        if self.engine == "adapter" and self.selection in ("dynamic", "frozen"):
            raise InvalidInput(
                f"engine='adapter' and selection={self.selection!r} contradict one another: an "
                "adapter needs few rows and few columns, known before the backward pass; take "
                "selection='block', or engine='folded'"
            )
        if self.block is not None and self.selection in ("dynamic", "frozen"):
            raise InvalidInput(
                f"block={self.block} and selection={self.selection!r} contradict one another; "
                "take selection='block', or say by density or entries how many entries train"
            )
        if self.accumulate == "selected":
            self._require_dynamic("accumulate='selected'", "nothing to select in a backward pass")
            if self.error_feedback is True:
                raise InvalidInput(
                    "error_feedback=True and accumulate='selected' contradict one another: what a "
                    "backward pass does not select is gone before the step; take "
                    "accumulate='gradients'"
                )
        if self.error_feedback is True:
            self._require_dynamic("error_feedback=True", "nothing over")

    def _require_dynamic(self, setting: str, left: str) -> None:
        if self.wants_block or self.selection == "frozen":
            raise InvalidInput(
                f"{setting} is a way of selection='dynamic'; a block or a frozen support leaves "
                f"{left}"
            )
        object.__setattr__(self, "selection", "dynamic")

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

    @property
    def wants_block(self) -> bool:
        """Whether these settings ask for a block, whatever the model is."""
        return self.selection == "block" or self.engine == "adapter" or self.block is not None

    @property
    def feeds_back(self) -> bool:
        """Whether a dynamic selection has error feedback; what ``auto`` comes to."""
        if self.error_feedback == "auto":
            return self.accumulate == "gradients"
        return self.error_feedback

    def entries_of(self, weights: int) -> int:
        """How many entries of a layer of `weights` (d_out × d_in) one step changes: at least one.

        Raises:
            InvalidInput: when a `block` says it.
        """
        if self.entries is not None:
            return self.entries
        if self.density is None:
            raise InvalidInput(f"block={self.block} says how many entries train")
        return max(1, round(self.density * weights))

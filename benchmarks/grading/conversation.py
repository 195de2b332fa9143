"""A model that answers, turn by turn; its earlier answers stay in the conversation.

A model is asked in the words that it was tuned on:

* ``chat``: the tokenizer's chat template, for a model that was tuned by its makers;
* ``plain``: the prompt that `encode_causal` trains on, for one that was tuned by us. The texts and
  answers so far, and an empty line after each. It trains on single turns; further ones are put in
  the same way.

A prompt that leaves no room for the answer is cut at its front, as in training.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from sparsegrad_client.data.encoding import PROMPT_SEPARATOR
from sparsegrad_shared.errors import InvalidInput

from .questions import Question

Prompt = Literal["chat", "plain"]


@dataclass(frozen=True)
class Generation:
    """How answers are made.

    Attributes:
        max_new_tokens: of an answer, at most.
        temperature: 0 takes the most probable token at each step.
        seed: of what is drawn at other temperatures, for each turn anew, so that an answer does
            not depend on those before.
    """

    max_new_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InvalidInput(f"--max-new-tokens: expected at least 1, got {self.max_new_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise InvalidInput(f"--temperature: expected 0 or more, got {self.temperature}")


class Respondent:
    """A model, its tokenizer, and the words that it is asked in.

    Args:
        model: a causal language model; its own defaults for generating are put aside.
        tokenizer: the model's.
        prompt: see the module's docstring.
        generation: how answers are made.

    Raises:
        InvalidInput: when there is no chat template, or the answers have no room.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        generation: Generation,
    ) -> None:
        if prompt == "chat" and not tokenizer.chat_template:
            raise InvalidInput("--prompt chat: the tokenizer has no chat template; take plain")
        longest = getattr(model.config, "max_position_embeddings", None)
        if longest is not None and generation.max_new_tokens >= longest:
            raise InvalidInput(
                f"--max-new-tokens {generation.max_new_tokens}: the model takes {longest} tokens, "
                "the question among them; ask for fewer"
            )
        self._model = model.eval()
        self._model.generation_config = _settings(model, tokenizer, generation)
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._generation = generation
        self._room = None if longest is None else longest - generation.max_new_tokens

    def answer(self, question: Question) -> list[str]:
        """The answers to a question's turns."""
        said: list[str] = []
        for turn, text in enumerate(question.turns):
            said.append(text)
            drawn = random.Random(f"{self._generation.seed}/{question.id}/{turn}")
            torch.manual_seed(drawn.getrandbits(63))
            said.append(self._continue(self.encode(said)))
        return said[1::2]

    def encode(self, said: Sequence[str]) -> list[int]:
        """Tokens of a conversation whose next part is the model's: user, model, …, user."""
        if self._prompt == "plain":
            tokens = self._tokenizer(PROMPT_SEPARATOR.join([*said, ""]))["input_ids"]
        else:
            roles = ("user", "assistant")
            messages = [
                {"role": roles[part % 2], "content": text} for part, text in enumerate(said)
            ]
            asked = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            tokens = self._tokenizer(asked, add_special_tokens=False)["input_ids"]
        begin = 0 if self._room is None else -self._room
        return cast("list[int]", tokens[begin:])

    @torch.no_grad()
    def _continue(self, prompt: Sequence[int]) -> str:
        tokens = torch.tensor([prompt], device=self._model.device)
        made = cast("Tensor", self._model.generate(tokens, attention_mask=torch.ones_like(tokens)))
        answer = self._tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
        return cast("str", answer).strip()


def _settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, generation: Generation
) -> GenerationConfig:
    """Only what was asked for: a model's own defaults would sample, or punish repetition."""
    own = model.generation_config.eos_token_id if model.generation_config else None
    ends = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id} - {None}
    drawn = {"do_sample": True, "temperature": generation.temperature, "top_k": 0, "top_p": 1.0}
    return GenerationConfig(
        max_new_tokens=generation.max_new_tokens,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id,
        **(drawn if generation.temperature else {"do_sample": False}),
    )

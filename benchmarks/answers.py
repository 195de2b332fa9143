"""Answers of a tuned language model in FastChat's format, for grading as in the paper.

The paper has GPT-4 grade answers to the questions of Inflection-Benchmarks, as MT-bench does.
`grading` says how a model is asked. What is answered is in the file: what was cut off goes on.

    python benchmarks/answers.py --questions question.jsonl --output model_answer/smollm2.jsonl
    python benchmarks/answers.py --questions question.jsonl --output model_answer/tuned.jsonl
                                 --model llama-2-7b --adapter tuned/adapter --dtype bfloat16
    python benchmarks/answers.py --questions instructions.jsonl --write-questions question.jsonl …
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from grading.answer_file import AnswerFile
from grading.conversation import Generation, Prompt, Respondent
from grading.questions import Question, read_questions, write_questions
from machine import device, smollm2
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from sparsegrad_client import fetch_basis, load_adapter, merge, read_adapter
from sparsegrad_client.models import ModelPlace, find_model, load_causal, load_tokenizer
from sparsegrad_shared.digests import digest_of_file
from sparsegrad_shared.errors import InvalidInput, SparseGradError
from sparsegrad_shared.terminal.progress import Phases

DTYPES = ("float32", "bfloat16", "float16")
PEFT_TENSORS = "adapter_model.safetensors"
OUR_TENSORS = "adapter.safetensors"


def load(options: argparse.Namespace, place: ModelPlace) -> PreTrainedModel:
    """The model, an adapter merged into it; added in float32, whatever type it runs in."""
    model = load_causal(place, dtype=torch.float32)
    if options.adapter is not None:
        adapter = read_adapter(options.adapter)
        merge(load_adapter(model, adapter, fetch_basis(adapter.basis_digest)))
    if options.peft is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, options.peft).merge_and_unload()
    nn.Module.to(model, device=device(), dtype=getattr(torch, options.dtype))
    return model


def digest_in(folder: Path | None, tensors: str) -> str | None:
    """The digest of an adapter's tensors, of which its answers come.

    Raises:
        InvalidInput: when they are not there; for PEFT's adapters safetensors are wanted, since
            its other format is a pickle, which can run code.
    """
    if folder is None:
        return None
    if not (folder / tensors).is_file():
        raise InvalidInput(f"{folder}: expected an adapter's folder; there is no {tensors} in it")
    return digest_of_file(folder / tensors)


def prompt_of(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> Prompt:
    """What was asked for; else an adapter's own training, or else the chat template."""
    if options.prompt is not None:
        chosen: Prompt = options.prompt
        return chosen
    tuned = options.adapter is not None or options.peft is not None
    return "plain" if tuned or not tokenizer.chat_template else "chat"


def answer(options: argparse.Namespace, questions: list[Question]) -> int:
    """Answer what is not answered yet; how many that were."""
    place = find_model(options.model)
    tokenizer = load_tokenizer(place)
    generation = Generation(options.max_new_tokens, options.temperature, options.seed)
    prompt = prompt_of(options, tokenizer)
    made_with: dict[str, Any] = {
        "model": place.id,
        "adapter": digest_in(options.adapter, OUR_TENSORS),
        "peft": digest_in(options.peft, PEFT_TENSORS),
        "dtype": options.dtype,
        "prompt": prompt,
        **vars(generation),
    }
    file = AnswerFile(options.output, options.model_id or options.output.stem, made_with)
    left = [question for question in questions if question not in file]
    if not left:
        return 0
    respondent = Respondent(load(options, place), tokenizer, prompt, generation)
    with Phases() as phases:
        for number, question in enumerate(left):
            phases("answering", number, len(left))
            file.add(question, respondent.answer(question))
        phases("answering", len(left), len(left))
    return len(left)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.jsonl, for FastChat")
    parser.add_argument("--model", help="a folder, a hub id or a short name; SmolLM2")
    parser.add_argument("--model-id", help="what the judge calls it; the output's name")
    tuned = parser.add_mutually_exclusive_group()
    tuned.add_argument("--adapter", type=Path, help="the folder of one of our adapters")
    tuned.add_argument("--peft", type=Path, help="the folder of one of PEFT's adapters")
    parser.add_argument(
        "--prompt",
        choices=("chat", "plain"),
        help="the chat template, or what our training asks; plain for a merged model of ours "
        "(plain with an adapter or without a template, else chat)",
    )
    parser.add_argument("--max-new-tokens", type=int, default=1024, help="of an answer (1024)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0, the default, is greedy")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--limit", type=int, help="only so many of the questions")
    parser.add_argument("--write-questions", type=Path, help="also write them in FastChat's format")
    options = parser.parse_args(arguments)
    options.model = options.model or str(smollm2())
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for; the process's own when None."""
    options = _options(arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of loading weights: ours is of answers
    try:
        questions = read_questions(options.questions)[: options.limit]
        if options.write_questions is not None:
            write_questions(options.write_questions, questions)
        made = answer(options, questions)
    except SparseGradError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{options.output}: {made} questions answered, {len(questions) - made} were before")


if __name__ == "__main__":
    main()

"""Answers for FastChat's judge: its format, conversations, and runs that go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from support.cached_bases import cache_basis
from support.small_llama import QUESTIONS, load_small_llama, save_small_llama, write_lines
from transformers import LlamaForCausalLM

from sparsegrad_client import SparseGradConfig, build_optimizer, fetch_basis, save_adapter, sparsify
from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.data.columns import Columns
from sparsegrad_client.data.encoding import encode_causal
from sparsegrad_client.data.tables import Table

ROOT = Path(__file__).parents[2]
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> Iterator[None]:
    """Their modules can be imported, as their programs import them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small LLaMA."""
    folder = tmp_path_factory.mktemp("model")
    save_small_llama(folder)
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A file of questions in FastChat's format."""
    return write_lines(tmp_path / "question.jsonl", QUESTIONS)


@pytest.fixture
def run(model: Path, questions: Path) -> Run:
    """Run the program, on the small model and the questions; the lines of its output."""

    def run(output: Path, *options: str) -> list[dict[str, Any]]:
        from answers import main

        common = ["--questions", str(questions), "--output", str(output), "--model", str(model)]
        main([*common, "--max-new-tokens", "6", *options])
        return [json.loads(line) for line in output.read_text().splitlines()]

    return run


def _turns(lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [line["choices"][0]["turns"] for line in lines]


def test_the_output_is_what_fastchat_reads_an_answer_a_turn(run: Run, tmp_path: Path) -> None:
    lines = run(tmp_path / "model_answer" / "tiny.jsonl")
    assert [line["question_id"] for line in lines] == [81, 82]
    assert [len(turns) for turns in _turns(lines)] == [2, 1]
    assert len({line["answer_id"] for line in lines}) == 2
    for line in lines:
        assert line["model_id"] == "tiny"
        assert [choice["index"] for choice in line["choices"]] == [0]
        assert all(isinstance(turn, str) for turn in line["choices"][0]["turns"])
        assert line["tstamp"] > 0
        assert line["machine"]
        assert line["versions"]["torch"]


def test_greedy_answers_are_the_same_whatever_the_models_own_defaults(
    run: Run, model: Path, tmp_path: Path
) -> None:
    first, again = (run(tmp_path / name, "--seed", "3") for name in ("a.jsonl", "b.jsonl"))
    assert _turns(first) == _turns(again)
    # The most probable token, again and again, is what greedy means.
    tokenizer, tiny = load_small_llama(model)
    tokens = tokenizer("<user>Is one two?<end><assistant>")["input_ids"]
    begun = len(tokens)
    while len(tokens) < begun + 6 and tokens[-1:] != [tokenizer.eos_token_id]:
        tokens.append(int(tiny(torch.tensor([tokens])).logits[0, -1].argmax()))
    expected = tokenizer.decode(tokens[begun:], skip_special_tokens=True).strip()
    assert _turns(first)[1] == [expected]


def test_drawn_answers_follow_from_the_seed_and_not_from_those_before(
    run: Run, tmp_path: Path
) -> None:
    warm = ("--temperature", "1.5")
    whole = run(tmp_path / "a.jsonl", *warm)
    output = tmp_path / "a again.jsonl"
    output.write_text(json.dumps(whole[0] | {"model_id": "a again"}) + "\n")
    assert _turns(run(output, *warm)) == _turns(whole)
    assert _turns(run(tmp_path / "b.jsonl", *warm, "--seed", "1")) != _turns(whole)


def test_a_run_that_was_cut_off_goes_on_and_every_line_can_be_read(
    run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "tiny.jsonl"
    whole = run(output)
    text = output.read_text()
    first = text.splitlines(keepends=True)[0]
    for kept in (len(first) - 1, len(first), len(first) + 20, len(text) - 1):
        output.write_text(text[:kept])
        lines = run(output)
        assert _turns(lines) == _turns(whole)
        assert lines[0] == whole[0]  # it was not made again
    done = output.read_text()
    run(output)
    assert output.read_text() == done


def test_answers_of_others_are_not_mixed_in_and_a_question_that_changed_is_asked_again(
    run: Run, questions: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tiny.jsonl"
    run(output)
    with pytest.raises(SystemExit, match=r"tiny.jsonl line 1: made_with is .* the same options"):
        run(output, "--prompt", "plain")
    with pytest.raises(SystemExit, match="line 1: model_id is 'tiny', and now 'another'"):
        run(output, "--model-id", "another")
    write_lines(questions, [QUESTIONS[0], QUESTIONS[1] | {"turns": ["Is green blue?"]}])
    assert [line["question_id"] for line in run(output)] == [81, 82, 82]


def test_instructions_become_questions_that_fastchat_reads(run: Run, tmp_path: Path) -> None:
    from grading.questions import read_questions

    rows = [{"instruction": "Say it.", "input": "The sky"}, {"instruction": "What is blue?"}]
    data = write_lines(tmp_path / "rows.jsonl", rows)
    written = tmp_path / "bench" / "question.jsonl"
    options = ("--questions", str(data), "--write-questions", str(written))
    lines = run(tmp_path / "tiny.jsonl", *options)
    assert read_questions(written) == read_questions(data)
    assert [json.loads(line)["question_id"] for line in written.read_text().splitlines()] == [
        line["question_id"] for line in lines
    ]
    run(tmp_path / "tiny.jsonl", *options)  # again: they are there already
    with pytest.raises(SystemExit, match="holds other questions"):
        run(tmp_path / "other.jsonl", "--write-questions", str(written))


def _basis(home: Path, tiny: LlamaForCausalLM) -> str:
    """Random orthonormal bases of `up` and `down` in the client's cache; their digest."""
    torch.manual_seed(0)
    groups = []
    for role, (d_out, d_in) in {"up": (48, 32), "down": (32, 48)}.items():
        paths = tuple(f"model.layers.{n}.mlp.{role}_proj" for n in range(len(tiny.model.layers)))
        U, V = (torch.linalg.qr(torch.randn(d, d)).Q.contiguous() for d in (d_in, d_out))
        spectra = (torch.arange(d, 0, -1, dtype=torch.float64) for d in (d_in, d_out))
        groups.append(GroupBasis(role, paths, U, V, *spectra))
    return cache_basis(home, *groups)


def test_an_adapter_answers_as_it_was_trained_to(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEGRAD_HOME", str(tmp_path / "home"))
    tokenizer, tiny = load_small_llama(model)
    sparsify(
        tiny, fetch_basis(_basis(tmp_path / "home", tiny)), SparseGradConfig(density=0.5)
    ).train()
    optimizer = build_optimizer(tiny, lr=1e-2)
    texts = [turn for question in QUESTIONS for turn in question["turns"]]
    rows = [{"instruction": text, "output": "Sky"} for text in texts]
    table = Table("rows", datasets.Dataset.from_list(rows))
    columns = Columns(text=("instruction", "output"), label=None)
    examples = encode_causal(table, columns, tokenizer, 128)
    for _ in range(60):
        for example in examples:
            tiny(**{name: torch.tensor([row]) for name, row in example.items()}).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_adapter(tiny, tmp_path / "adapter")

    tuned = run(tmp_path / "tuned.jsonl", "--adapter", str(tmp_path / "adapter"))
    plain = run(tmp_path / "plain.jsonl", "--prompt", "plain")
    assert [turns[0] for turns in _turns(tuned)] == ["Sky"] * 2
    assert [turns[0] for turns in _turns(plain)] != ["Sky"] * 2
    assert tuned[0]["made_with"]["prompt"] == "plain"  # that is how it was trained
    assert tuned[0]["made_with"]["adapter"].startswith("sha256:")
    with pytest.raises(SystemExit, match=r"there is no adapter.safetensors in it"):
        run(tmp_path / "tuned.jsonl", "--adapter", str(tmp_path))


@pytest.mark.filterwarnings("ignore")  # of the peer's own
def test_an_adapter_of_peft_changes_the_answers(run: Run, model: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    _, tiny = load_small_llama(model)
    torch.manual_seed(1)
    config = peft.LoraConfig(target_modules=["up_proj"], init_lora_weights=False, lora_alpha=64)
    peft.get_peft_model(tiny, config).save_pretrained(tmp_path / "lora")
    tuned = run(tmp_path / "tuned.jsonl", "--peft", str(tmp_path / "lora"))
    assert _turns(tuned) != _turns(run(tmp_path / "plain.jsonl", "--prompt", "plain"))

"""Accuracy of fine-tuning methods on SST-2, on the same layers of MiniLM, over rates and seeds.

3,200 training sentences for 3 epochs in batches of 32 of like length, the head at 5e-4, rates that
rise and fall linearly. Judged on the 872 development sentences and on 2,000 training sentences
that nothing was trained on (their count makes the smaller error). Bases come from 30 steps on the
training sentences, through the basis service. Runs are written down one by one, so that one that
was cut off goes on.

    python benchmarks/quality.py --results FILE [--methods lora folded adapter] [--seeds 0 1 2]
                                 [--rates 1e-3 2e-3] [--table]
    python benchmarks/quality.py --results FILE --share role --block 192 64 [--fixed-head]
                                 a variant of the adapter instead, for ablations
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from machine import minilm
from methods import METHODS, Method, Setting, groups_of, head_of, variant
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers.utils import logging

from sparsegrad_client import Basis, calibrate
from sparsegrad_client.data.batches import collate
from sparsegrad_client.data.columns import choose_columns
from sparsegrad_client.data.encoding import Example, encode_classification
from sparsegrad_client.data.tables import read_table
from sparsegrad_client.groups import auto_spec
from sparsegrad_client.models import find_model, load_classifier, load_tokenizer
from sparsegrad_client.training.evaluation import evaluate
from sparsegrad_client.training.loop import Schedule

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "glue" / "SST-2"
CLASSES = ("0", "1")
TRAIN, EXTRA, MAX_TOKENS, BATCH, EPOCHS, HEAD_LR = 3200, 2000, 64, 32, 3, 5e-4
LIKE_LENGTH = 16  # batches among which sentences are sorted by length
RATES = {
    "regular": (5e-5, 1e-4, 2e-4),
    "lora": (5e-4, 1e-3, 2e-3),
    "folded": (5e-4, 1e-3, 2e-3),
    "adapter": (5e-4, 1e-3, 2e-3),
}


@dataclass(frozen=True)
class Data:
    """SST-2, encoded: what is trained on, and the two sets that judge."""

    train: Sequence[Example]
    extra: Sequence[Example]
    development: Sequence[Example]
    pad_token_id: int

    def batches(self, seed: int, epoch: int) -> Iterator[dict[str, Tensor]]:
        """The training sentences, shuffled, in batches of like length."""
        draw = random.Random(f"{seed}/{epoch}")
        order = list(range(len(self.train)))
        draw.shuffle(order)
        chunks = []
        for begin in range(0, len(order), BATCH * LIKE_LENGTH):
            part = sorted(order[begin : begin + BATCH * LIKE_LENGTH], key=self._length)
            chunks += [part[at : at + BATCH] for at in range(0, len(part), BATCH)]
        draw.shuffle(chunks)
        for chunk in chunks:
            yield collate([self.train[index] for index in chunk], self.pad_token_id)

    def _length(self, index: int) -> int:
        return len(self.train[index]["input_ids"])

    def judged(self, examples: Sequence[Example]) -> Iterator[dict[str, Tensor]]:
        """Sentences to judge on, the short ones first."""
        ordered = sorted(examples, key=lambda example: len(example["input_ids"]))
        for begin in range(0, len(ordered), 2 * BATCH):
            yield collate(ordered[begin : begin + 2 * BATCH], self.pad_token_id)


def load_data() -> Data:
    """Read and encode the data set."""
    tokenizer = load_tokenizer(find_model(str(minilm())))
    tables = [read_table(str(DATA / f"{name}.tsv")) for name in ("train", "dev")]
    columns = choose_columns(tables[0], ("sentence",), "label")
    train, development = (
        encode_classification(table, columns, CLASSES, tokenizer, MAX_TOKENS)
        for table in (tables[0].sample(TRAIN + EXTRA, 0), tables[1])
    )
    return Data(train[:TRAIN], train[TRAIN:], development, tokenizer.pad_token_id)


def fresh_model(seed: int) -> nn.Module:
    """MiniLM with a new head."""
    place = find_model(str(minilm()))
    return load_classifier(place, CLASSES, None, dtype=torch.float32, seed=seed)


def basis_for(method: Method, data: Data, head_lr: float) -> Basis | None:
    """The basis that a method needs, calibrated on the training sentences."""
    if method.share is None:
        return None
    model = fresh_model(0)
    spec = auto_spec(model, share=method.share)
    batches = list(data.batches(1000, 0))
    name = f"local/sst2-{method.share}"
    return calibrate(model, batches, name, spec=spec, rank=method.rank, head_lr=head_lr)


def run(method: Method, basis: Basis | None, data: Data, lr: float, seed: int) -> dict[str, Any]:
    """One fine-tuning."""
    torch.manual_seed(seed)
    model = fresh_model(seed)
    setting = Setting(model, groups_of(model), head_of(model), basis, lr, HEAD_LR)
    prepared = method.prepare(setting)
    optimizer = prepared.optimizer
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    schedule = Schedule(epochs=EPOCHS)
    steps = schedule.steps(-(-TRAIN // BATCH))
    rates = LambdaLR(optimizer, lambda step: schedule.factor(step, steps))
    start = time.perf_counter()
    losses: list[float] = []
    for epoch in range(EPOCHS):
        model.train()
        for batch in data.batches(seed, epoch):
            loss = model(**batch).loss
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    seconds = time.perf_counter() - start
    development = evaluate(model, data.judged(data.development))
    extra = evaluate(model, data.judged(data.extra))
    return {
        "method": method.name,
        "lr": lr,
        "seed": seed,
        "values": prepared.values,
        "development": development.score,
        "extra": extra.score,
        "extra_loss": extra.loss,
        "training_loss": statistics.mean(losses[-50:]),
        "seconds": seconds,
    }


def show(results: list[dict[str, Any]]) -> None:
    """A table in Markdown: mean and deviation over seeds, the best rate of each method in bold."""
    print("| method | values a step | lr | development | extra | loss on extra | runs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for method in dict.fromkeys(row["method"] for row in results):
        own = [row for row in results if row["method"] == method]
        rates = sorted({row["lr"] for row in own})
        best = max(rates, key=lambda lr: _mean(own, lr, "development") + _mean(own, lr, "extra"))
        for lr in rates:
            runs = [row for row in own if row["lr"] == lr]
            mark = "**" if lr == best else ""
            cells = " | ".join(_cell(runs, key) for key in ("development", "extra", "extra_loss"))
            values = f"{runs[0]['values']:,}"
            print(f"| {mark}{method}{mark} | {values} | {lr:.0e} | {cells} | {len(runs)} |")


def _mean(rows: list[dict[str, Any]], lr: float, key: str) -> float:
    return statistics.mean(row[key] for row in rows if row["lr"] == lr)


def _cell(runs: list[dict[str, Any]], key: str) -> str:
    found = [run[key] for run in runs]
    spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.4f}{spread}"


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs that a file holds; a line that was cut off does not count."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def chosen_methods(options: argparse.Namespace) -> list[Method]:
    """The methods that the command line names, or the one variant that it describes."""
    if options.share is None:
        return [METHODS[name] for name in options.methods]
    block = None if options.block is None else (options.block[0], options.block[1])
    method = variant(options.share, block)
    fixed = ", head fixed in the calibration" if options.fixed_head else ""
    return [replace(method, name=method.name + fixed)]


def run_all(
    method: Method, data: Data, results: list[dict[str, Any]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The runs of a method that are not in the results yet, written down one by one."""
    done = {(row["lr"], row["seed"]) for row in results if row["method"] == method.name}
    rates = options.rates or RATES[method.name.partition(",")[0]]
    jobs = [(lr, seed) for lr in rates for seed in options.seeds if (lr, seed) not in done]
    head_lr = 0.0 if options.fixed_head else HEAD_LR
    basis = basis_for(method, data, head_lr) if jobs else None
    new = []
    for lr, seed in jobs:
        row = run(method, basis, data, lr, seed)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        new.append(row)
    return new


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rates", nargs="+", type=float, help="instead of each method's own")
    parser.add_argument("--share", choices=("role", "layer"), help="a variant's basis")
    parser.add_argument("--block", type=int, nargs=2, metavar=("ROWS", "COLUMNS"))
    parser.add_argument(
        "--fixed-head", action="store_true", help="calibrate with the head as it is"
    )
    parser.add_argument("--table", action="store_true", help="only show what there is")
    options = parser.parse_args()
    logging.set_verbosity_error()
    results = read_results(options.results)
    if not options.table:
        data = load_data()
        for method in chosen_methods(options):
            results += run_all(method, data, results, options)
    show(results)


if __name__ == "__main__":
    main()

"""Steps per second and peak memory of fine-tuning methods, on the same layers of the same model.

All methods take their steps in turns, in one process, so that whatever else the machine does
meets them alike; ratios are medians over the rounds. Peak memory is that of a process of its own
for each method (on a GPU: what PyTorch has allocated). Bases are random: the time does not depend
on them.

    python benchmarks/training.py [--model minilm] [--batch 32 --tokens 128] [--rounds 15]
                                  [--methods lora adapter …] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import device, machine, minilm
from methods import COMPARED, METHODS, Method, Setting, groups_of, head_of
from methods.bases import random_basis
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    RobertaConfig,
)
from transformers.utils import logging

from sparsegrad_client.groups import auto_spec, find_groups

BOUNDS = ("reference", "limit")  # the layer as published, and the least that any method can cost
WARM_UP = 2  # steps that are not counted: caches fill, moments are made


def _minilm(classes: int = 2) -> nn.Module:
    folder = minilm()
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=classes
    )
    return model


def _roberta_base() -> nn.Module:
    config = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    model: nn.Module = AutoModelForSequenceClassification.from_config(config)
    return model


def _llama_2_7b() -> nn.Module:
    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        use_cache=False,
    )
    model: nn.Module = AutoModelForCausalLM.from_config(config)
    return model


# The shapes of the paper's tables 3, 7 and 8; only MiniLM has real weights here.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "minilm": _minilm,
    "roberta-base": _roberta_base,
    "llama-2-7b": _llama_2_7b,
}


class Run:
    """One method's model, optimizer and batch."""

    def __init__(self, method: Method, model_name: str, batch: int, tokens: int) -> None:
        torch.manual_seed(0)
        where = device()
        with torch.device(where):
            self.model = nn.Module.to(MODELS[model_name](), where)
        groups = groups_of(self.model)
        basis = None
        if method.share is not None:
            spec = auto_spec(self.model, share=method.share)
            basis = random_basis(find_groups(self.model, spec), method.rank)
        ids = torch.randint(5, 5000, (batch, tokens), device=where)
        causal = model_name == "llama-2-7b"
        labels = ids if causal else torch.randint(0, 2, (batch,), device=where)
        self.batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        setting = Setting(
            self.model,
            groups,
            [] if causal else head_of(self.model),
            basis,
            lr=1e-3,
            head_lr=5e-4,
            warm_up=[self.batch],
        )
        prepared = method.prepare(setting)
        self.optimizer, self.values = prepared.optimizer, prepared.values
        self.model.train()

    def step(self) -> float:
        """Take one step; its seconds."""
        start = time.perf_counter()
        self.model(**self.batch).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if device().type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def time_in_turns(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each method's steps, one step of each method a round."""
    runs = {
        name: Run(METHODS[name], options.model, options.batch, options.tokens)
        for name in options.methods
    }
    for run in runs.values():
        for _ in range(WARM_UP):
            run.step()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds):
        for name, run in runs.items():
            seconds[name].append(run.step())
        print(f"\rround {number + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return seconds


def measure_memory(name: str, options: argparse.Namespace) -> dict[str, int]:
    """The peak of a few steps, in this process, over what Python and its libraries take."""
    before = _resident_bytes("VmRSS")
    run = Run(METHODS[name], options.model, options.batch, options.tokens)
    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_UP + 2):
        run.step()
    if device().type == "cuda":
        return {"peak_bytes": torch.cuda.max_memory_allocated(), "values": run.values}
    return {"peak_bytes": _resident_bytes("VmHWM") - before, "values": run.values}


def _resident_bytes(kind: str) -> int:
    """Resident memory of this process: now (VmRSS), or at its highest (VmHWM)."""
    # Not ru_maxrss: a child process inherits its parent's.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("peak memory is read from /proc, which this system does not have")


def in_fresh_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """`measure_memory`, where nothing else has used memory yet."""
    command = [sys.executable, __file__, "--memory-of", name, "--model", options.model]
    command += ["--batch", str(options.batch), "--tokens", str(options.tokens)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows_of(seconds: dict[str, list[float]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the table shows, method by method."""
    rows = []
    for name, own in seconds.items():
        memory = in_fresh_process(name, options)
        row = {"method": name, "steps_per_second": 1 / statistics.median(own), **memory}
        for peer in ("regular", "lora", "reference"):
            if peer in seconds:
                ratios = [theirs / ours for theirs, ours in zip(seconds[peer], own, strict=True)]
                row[f"times_{peer}"] = statistics.median(ratios)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """A table in Markdown, to be quoted as it is."""
    peers = [key for key in rows[0] if key.startswith("times_")]
    titles = [f"x {key.removeprefix('times_')}" for key in peers]
    print("| method | values a step | steps/s |", *(f"{t} |" for t in titles), "peak, MiB |")
    print("| --- |" + " --- |" * (3 + len(peers)))
    for row in rows:
        ratios = " ".join(f"{row[key]:.2f} |" for key in peers)
        print(
            f"| {row['method']} | {row['values']:,} | {row['steps_per_second']:.3f} | {ratios} "
            f"{row['peak_bytes'] / 2**20:.0f} |"
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="minilm")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*COMPARED, *BOUNDS])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="small batches, three rounds")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.set_verbosity_error()
    if options.quick:
        options.batch, options.tokens, options.rounds = 4, 32, 3
    if options.memory_of:
        print(json.dumps(measure_memory(options.memory_of, options)))
        return
    print(f"{options.model}, batch {options.batch} x {options.tokens}, {machine()}\n")
    rows = rows_of(time_in_turns(options), options)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

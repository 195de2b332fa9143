"""The ways to fine-tune that benchmarks compare, on the same layers of the same model.

To add one, write what prepares a model for it (`method.Setting` in, `method.Prepared` out) and
name it in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sparsegrad_client import SparseGradConfig
from sparsegrad_client.groups import LayerGroup, auto_spec, find_groups

from . import peers, plain
from .meprop import meprop
from .method import Method, Prepared, Setting
from .peers import peer
from .refreshed import refreshed, restarted
from .soap import NEVER, fixed, soap
from .sparse import RANK, folded, sparse

__all__ = [
    "COMPARED",
    "METHODS",
    "OURS",
    "RANK",
    "Method",
    "Prepared",
    "Setting",
    "groups_of",
    "head_of",
]

METHODS = {
    method.name: method
    for method in (
        Method("regular", plain.regular, 1e-4),
        Method("lora", peer(peers.lora(peers.PAPER_RANK)), 1e-3),
        Method("lora-dropout", peer(peers.lora(peers.PAPER_RANK, dropout=0.1)), 1e-3),
        Method("lora-thin", peer(peers.lora()), 1e-3),
        Method("dora", peer(peers.lora(dora=True)), 1e-3),
        Method("fourierft", peer(peers.fourierft), 3e-2),
        Method("waveft", peer(peers.waveft), 3e-3),
        Method("shira", peer(peers.shira), 1e-2),
        Method("super-tuning", peer(peers.super_tuning), 1e-2),
        Method("frod", peer(peers.frod), 1e-3),
        Method("vera", peer(peers.vera), 5e-3),
        Method("meprop", meprop(), 1e-3),
        Method("meprop-feedback", meprop(error_feedback=True), 1e-3, rate_of="meprop"),
        Method("limit", plain.limit, 1e-3),
        Method(
            "reference",
            sparse(SparseGradConfig(engine="reference", error_feedback=False)),
            1e-3,
            "role",
        ),
        Method("folded", folded, 1e-3, "role"),
        Method(
            "folded-feedback",
            sparse(SparseGradConfig(engine="folded", error_feedback=True)),
            1e-3,
            "role",
            rate_of="folded",
        ),
        Method(
            "folded-frozen",
            sparse(SparseGradConfig(engine="folded", selection="frozen"), warm_up=True),
            1e-3,
            "role",
        ),
        Method(
            "folded-block",
            sparse(SparseGradConfig(engine="folded", selection="block")),
            1e-3,
            "role",
        ),
        Method("folded-full", fixed, 1e-4, "role"),
        Method("folded-refreshed-25", refreshed(25), 1e-3, "role", rate_of="folded"),
        Method("folded-refreshed-50", refreshed(50), 1e-3, "role", rate_of="folded"),
        Method("folded-restarted-25", restarted(25), 1e-3, "role", rate_of="folded"),
        Method("adapter", sparse(SparseGradConfig(engine="adapter")), 1e-3, "layer", RANK),
        Method("soap-1", soap(1), 5e-4, rate_of="soap-10"),
        Method("soap-10", soap(10), 5e-4),
        Method("soap-100", soap(100), 5e-4),
        Method("soap-fixed", soap(NEVER), 5e-4, rate_of="soap-100"),
    )
}

LORA = ("lora", "lora-thin", "dora")
PEERS = (*LORA, "fourierft", "waveft", "shira", "super-tuning", "frod", "vera")
OURS = ("folded", "folded-feedback", "folded-frozen", "adapter")
COMPARED = ("regular", *PEERS, "meprop", *OURS)  # with one another, in quality and in cost


def groups_of(model: nn.Module) -> Sequence[LayerGroup]:
    """The layers that are fine-tuned: those of the model's preset, by role."""
    return find_groups(model, auto_spec(model))


def head_of(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of a classifier's head; a causal model has none of its own."""
    return [p for name, p in model.named_parameters() if name.startswith(("classifier", "score"))]

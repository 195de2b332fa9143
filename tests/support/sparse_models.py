"""Small real models and random bases for tests of the client's mathematics."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsegrad_client.basis import Basis, GroupBasis


def orthonormal(rows: int, columns: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random orthonormal columns: the Q of a seeded normal matrix."""
    normal = torch.randn(
        rows, rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return torch.linalg.qr(normal).Q[:, :columns].to(dtype).contiguous()


def group_basis(
    name: str,
    layers: tuple[str, ...],
    d_out: int,
    d_in: int,
    *,
    ranks: tuple[int, int] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> GroupBasis:
    """A group with a random basis; `ranks` are (r_out, r_in), full where not given."""
    r_out, r_in = ranks or (d_out, d_in)
    return GroupBasis(
        name=name,
        layers=layers,
        U=orthonormal(d_in, r_in, 2 * seed, dtype),
        V=orthonormal(d_out, r_out, 2 * seed + 1, dtype),
        eigenvalues_in=torch.arange(r_in, 0, -1, dtype=torch.float64),
        eigenvalues_out=torch.arange(r_out, 0, -1, dtype=torch.float64),
    )


def digest(seed: int) -> str:
    """A digest that no other seed has."""
    return f"sha256:{hashlib.sha256(str(seed).encode()).hexdigest()}"


def basis_of(*groups: GroupBasis, seed: int = 0, model: str | None = None) -> Basis:
    return Basis(digest(seed), {group.name: group for group in groups}, model=model)


def random_basis(
    model: nn.Module,
    groups: Mapping[str, str],
    *,
    ranks: tuple[int, int] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Basis:
    """A random basis for the linear layers of a model, grouped by regular expressions."""
    made = []
    for number, (name, pattern) in enumerate(groups.items()):
        layers = {
            path: module for path, module in model.named_modules() if re.fullmatch(pattern, path)
        }
        first = next(iter(layers.values()))
        weight = first.weight.T if isinstance(first, Conv1D) else first.weight
        made.append(
            group_basis(
                name,
                tuple(layers),
                *weight.shape,
                ranks=ranks,
                seed=1000 * seed + number,
                dtype=dtype,
            )
        )
    return basis_of(*made, seed=seed, model="tests/random")


BERT_GROUPS = {
    "intermediate": r"bert\.encoder\.layer\.\d+\.intermediate\.dense",
    "output": r"bert\.encoder\.layer\.\d+\.output\.dense",
}
LLAMA_GROUPS = {
    "gate": r"model\.layers\.\d+\.mlp\.gate_proj",
    "up": r"model\.layers\.\d+\.mlp\.up_proj",
    "down": r"model\.layers\.\d+\.mlp\.down_proj",
}
GPT2_GROUPS = {
    "up": r"transformer\.h\.\d+\.mlp\.c_fc",
    "down": r"transformer\.h\.\d+\.mlp\.c_proj",
}


def tiny_bert(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return transformers.BertForSequenceClassification(config).double()


def tiny_llama(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return transformers.LlamaForCausalLM(config).double()


def tiny_gpt2(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=40,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config).double()


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], Mapping[str, str]]] = {
    "bert": (tiny_bert, BERT_GROUPS),
    "llama": (tiny_llama, LLAMA_GROUPS),
    "gpt2": (tiny_gpt2, GPT2_GROUPS),
}


def batch_for(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """A batch with labels that the model takes."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 40, (4, 7), generator=generator)
    is_classifier = "Classification" in type(model).__name__
    labels = torch.randint(0, 2, (4,), generator=generator) if is_classifier else tokens
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels}

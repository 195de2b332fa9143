"""`sparsify` and `merge` on real architectures and on plain modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from support.sparse_models import (
    ARCHITECTURES,
    BERT_GROUPS,
    LLAMA_GROUPS,
    basis_of,
    batch_for,
    group_basis,
    random_basis,
    tiny_bert,
    tiny_llama,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from sparsegrad_client.config import Engine, SparseGradConfig
from sparsegrad_client.convert import merge, sparsify
from sparsegrad_client.layers import FoldedLinear, ReferenceLinear, SparseGradLinear, sparse_layers
from sparsegrad_shared.errors import InvalidInput, ShapeMismatch, UnsupportedModel

architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)
engines = pytest.mark.parametrize("engine", ["reference", "folded"])


def _snapshot(model: nn.Module) -> dict[str, object]:
    """All that a refused conversion must leave alone."""
    return {
        "modules": {name: id(module) for name, module in model.named_modules()},
        "parameters": {
            name: (id(parameter), parameter.requires_grad, parameter.detach().clone())
            for name, parameter in model.named_parameters()
        },
    }


def _same(one: dict[str, object], other: dict[str, object]) -> bool:
    parameters = zip(one["parameters"].items(), other["parameters"].items(), strict=True)
    return one["modules"] == other["modules"] and all(
        a[0] == b[0] and a[1][:2] == b[1][:2] and torch.equal(a[1][2], b[1][2])
        for a, b in parameters
    )


@architectures
@engines
@pytest.mark.parametrize("ranks", [None, (5, 7)])
def test_a_sparse_model_gives_the_plain_ones_outputs(
    architecture: str, engine: Engine, ranks: tuple[int, int] | None
) -> None:
    make, groups = ARCHITECTURES[architecture]
    model = make().eval()
    batch = batch_for(model)
    expected = model(**batch).logits.detach()
    classes = {name: type(module) for name, module in model.named_modules()}
    basis = random_basis(model, groups, ranks=ranks)
    assert sparsify(model, basis, SparseGradConfig(engine=engine)) is model
    assert set(sparse_layers(model)) == set(basis.layers)
    torch.testing.assert_close(model(**batch).logits, expected)
    assert merge(model) is model
    assert {name: type(module) for name, module in model.named_modules()} == classes
    torch.testing.assert_close(model(**batch).logits, expected)


@architectures
@engines
def test_no_layers_state_holds_the_basis(architecture: str, engine: Engine) -> None:
    make, groups = ARCHITECTURES[architecture]
    model = make()
    plain = sum(tensor.numel() for tensor in model.state_dict().values())
    sparsify(model, random_basis(model, groups), SparseGradConfig(engine=engine))
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == plain


def test_a_plain_checkpoint_loads_into_a_folded_model_but_for_the_deltas() -> None:
    model, other = tiny_bert(0), tiny_bert(1)
    sparsify(model, random_basis(model, BERT_GROUPS))
    missing = model.load_state_dict(other.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(".changes." in key for key in missing.missing_keys)
    batch = batch_for(model)
    torch.testing.assert_close(model(**batch).logits, other(**batch).logits)


def _gradients(engine: Engine, checkpointing: bool) -> list[torch.Tensor]:
    model = tiny_llama()
    sparsify(model, random_basis(model, LLAMA_GROUPS), SparseGradConfig(engine=engine))

    def loss() -> torch.Tensor:
        result: torch.Tensor = model(**batch_for(model)).loss
        return result

    (checkpoint(loss, use_reentrant=False) if checkpointing else loss()).backward()
    return [layer.coordinates.grad for layer in sparse_layers(model).values()]


@engines
def test_checkpointed_activations_give_the_same_gradients(engine: Engine) -> None:
    gradients = [_gradients(engine, checkpointing) for checkpointing in (False, True)]
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain.abs().sum() > 0
        torch.testing.assert_close(checkpointed, plain)


@engines
def test_two_models_with_two_bases_live_in_one_process(engine: Engine) -> None:
    models = [tiny_bert(0), tiny_bert(0)]
    batch = batch_for(models[0])
    expected = models[0](**batch).logits.detach()
    for seed, model in enumerate(models):
        config = SparseGradConfig(engine=engine)
        sparsify(model, random_basis(model, BERT_GROUPS, seed=seed), config)
    for model in models:
        torch.testing.assert_close(model(**batch).logits, expected)
        model(**batch).loss.backward()
    first, second = (next(iter(sparse_layers(model).values())) for model in models)
    in_original_space = [
        layer.group.V @ layer.coordinates.grad @ layer.group.U.T for layer in (first, second)
    ]
    torch.testing.assert_close(in_original_space[0], in_original_space[1])
    assert not torch.allclose(first.coordinates.grad, second.coordinates.grad)


class _Shared(nn.Module):
    """The same layer at two places, and one that shares its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4).double()
        self.blocks = nn.ModuleList([self.first, nn.Linear(4, 4).double()])
        self.tied = nn.Linear(4, 4).double()
        self.tied.weight, self.tied.bias = self.first.weight, self.first.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, *self.blocks, self.tied):
            x = layer(x).tanh()
        return x


@engines
def test_shared_layers_and_tied_weights_become_one_layer(engine: Engine) -> None:
    model = _Shared()
    x = torch.randn(3, 4, dtype=torch.float64)
    expected = model(x).detach()
    group = group_basis("g", ("blocks.0", "blocks.1", "first", "tied"), 4, 4)
    sparsify(model, basis_of(group), SparseGradConfig(engine=engine))
    assert model.first is model.blocks[0]
    assert model.first is model.tied
    assert len(sparse_layers(model)) == 2
    torch.testing.assert_close(model(x), expected)
    merge(model)
    assert model.first is model.tied
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("first",), "shares its weight with a Linear that the basis does not name"),
        (("nowhere",), "'nowhere', which the model does not have; the nearest linear layers are"),
    ],
)
def test_layers_that_cannot_be_replaced_leave_the_model_alone(
    names: tuple[str, ...], said: str
) -> None:
    model = _Shared()
    before = _snapshot(model)
    with pytest.raises(UnsupportedModel, match=said):
        sparsify(model, basis_of(group_basis("g", names, 4, 4)))
    assert _same(before, _snapshot(model))


def test_one_layer_in_two_groups_is_refused() -> None:
    model = _Shared()
    groups = group_basis("a", ("first",), 4, 4), group_basis("b", ("blocks.0",), 4, 4)
    with pytest.raises(UnsupportedModel, match="two groups, 'a' and 'b'"):
        sparsify(model, basis_of(*groups))
    groups = group_basis("a", ("first",), 4, 4), group_basis("b", ("tied",), 4, 4)
    with pytest.raises(UnsupportedModel, match="two groups, 'a' and 'b'"):
        sparsify(model, basis_of(*groups))


def test_a_tied_weight_with_a_bias_of_its_own_is_refused() -> None:
    model = _Shared()
    model.tied.bias = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    with pytest.raises(UnsupportedModel, match="has another bias"):
        sparsify(model, basis_of(group_basis("g", ("first", "tied"), 4, 4)))


def test_another_models_basis_is_refused_by_shapes_and_origin() -> None:
    model = nn.ModuleDict({"up": nn.Linear(768, 3072)})
    before = _snapshot(model)
    basis = basis_of(
        group_basis("intermediate", ("up",), 96, 24), model="sentence-transformers/all-MiniLM"
    )
    with pytest.raises(
        ShapeMismatch,
        match=r"basis group 'intermediate' is 96 x 24, layer 'up' is 3072 x 768\. "
        "This basis was calibrated on sentence-transformers/all-MiniLM",
    ):
        sparsify(model, basis)
    assert _same(before, _snapshot(model))


def test_the_last_layers_fault_is_found_before_the_first_is_replaced() -> None:
    model = tiny_bert()
    basis = random_basis(model, BERT_GROUPS)
    model.bert.encoder.layer[1].output.dense.bfloat16()
    before = _snapshot(model)
    with pytest.raises(UnsupportedModel, match=r"layer\.1\.output\.dense.*bfloat16"):
        sparsify(model, basis, SparseGradConfig(selection="dynamic"))
    assert _same(before, _snapshot(model))


def _hooked(layer: nn.Linear) -> None:
    layer.register_forward_hook(lambda *_: None)


def _parametrized(layer: nn.Linear) -> None:
    nn.utils.parametrizations.weight_norm(layer)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_hooked, "hooks"),
        (_parametrized, "got a ParametrizedLinear"),
        (lambda layer: layer.half(), r"float16.*model\.float\(\)"),
        (lambda layer: layer.to("meta"), "meta device"),
    ],
)
def test_a_layer_that_is_not_plain_is_refused_by_name(
    spoil: Callable[..., object], said: str
) -> None:
    model = nn.ModuleDict({"up": nn.Linear(3, 2)})
    spoil(model["up"])
    with pytest.raises(UnsupportedModel, match=f"layer 'up'.*{said}"):
        sparsify(
            model,
            basis_of(group_basis("g", ("up",), 2, 3)),
            SparseGradConfig(selection="dynamic"),
        )


def test_a_module_that_is_no_linear_layer_is_refused() -> None:
    model = nn.ModuleDict({"up": nn.Conv2d(3, 2, 1)})
    with pytest.raises(UnsupportedModel, match="expected a Linear or Conv1D, got a Conv2d"):
        sparsify(model, basis_of(group_basis("g", ("up",), 2, 3)))


@pytest.mark.parametrize("warm_up", [0, 1])
@pytest.mark.parametrize(
    ("config", "dtype", "error"),
    [
        (SparseGradConfig(engine="folded"), torch.bfloat16, UnsupportedModel),
        (SparseGradConfig(engine="reference"), torch.bfloat16, UnsupportedModel),
        (SparseGradConfig(block=(4, 17)), torch.float64, ShapeMismatch),
        (SparseGradConfig(block=(25, 4), engine="folded"), torch.float64, ShapeMismatch),
    ],
)
def test_settings_that_do_not_fit_the_model_leave_it_as_it_was(
    config: SparseGradConfig, dtype: torch.dtype, error: type[Exception], warm_up: int
) -> None:
    model = tiny_bert().to(dtype)
    basis = random_basis(model, ARCHITECTURES["bert"][1])
    before = _snapshot(model)
    batches = [batch_for(model, seed) for seed in range(warm_up)]
    with pytest.raises(error):
        sparsify(model, basis, config, warm_up=batches)
    assert _same(before, _snapshot(model))


def test_a_sparse_model_is_not_made_sparse_again_nor_a_plain_one_merged() -> None:
    model = tiny_bert()
    with pytest.raises(InvalidInput, match="no sparse layers"):
        merge(model)
    basis = random_basis(model, BERT_GROUPS)
    sparsify(model, basis)
    with pytest.raises(InvalidInput, match="sparse already"):
        sparsify(model, basis)
    merge(model)
    assert not any(isinstance(module, SparseGradLinear) for module in model.modules())
    with pytest.raises(InvalidInput, match="no sparse layers"):
        merge(model)


def test_auto_takes_the_folded_engine() -> None:
    model = tiny_bert()
    sparsify(model, random_basis(model, BERT_GROUPS))
    assert {type(layer) for layer in sparse_layers(model).values()} == {FoldedLinear}
    merge(model)
    sparsify(model, random_basis(model, BERT_GROUPS), SparseGradConfig(engine="reference"))
    assert {type(layer) for layer in sparse_layers(model).values()} == {ReferenceLinear}


def _trained_names(model: nn.Module) -> set[str]:
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.endswith(".coordinates")
    }


SMALL_BERT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: transformers.BertForSequenceClassification(
                transformers.BertConfig(**SMALL_BERT)
            ),
            {"classifier.weight", "classifier.bias"},
        ),
        (
            lambda: transformers.BertForQuestionAnswering(transformers.BertConfig(**SMALL_BERT)),
            {"qa_outputs.weight", "qa_outputs.bias"},
        ),
        (
            lambda: transformers.RobertaForSequenceClassification(
                transformers.RobertaConfig(**SMALL_BERT)
            ),
            {
                f"classifier.{part}.{kind}"
                for part in ("dense", "out_proj")
                for kind in ("weight", "bias")
            },
        ),
        (lambda: transformers.BertForMaskedLM(transformers.BertConfig(**SMALL_BERT)), set()),
        (lambda: transformers.BertModel(transformers.BertConfig(**SMALL_BERT)), set()),
    ],
)
def test_only_a_new_task_head_trains_beside_the_sparse_layers(
    make: Callable[..., Any], expected: set[str]
) -> None:
    model = make()
    layer = next(name for name, _ in model.named_modules() if name.endswith("intermediate.dense"))
    sparsify(model, basis_of(group_basis("g", (layer,), 8, 8)))
    assert _trained_names(model) == expected


@pytest.mark.parametrize("tied", [False, True])
def test_a_language_models_output_layer_stays_frozen(tied: bool) -> None:
    model = tiny_llama()
    model.config.tie_word_embeddings = tied
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    sparsify(model, random_basis(model, LLAMA_GROUPS))
    assert _trained_names(model) == set()


def test_expressions_say_what_else_trains() -> None:
    model = tiny_bert()
    config = SparseGradConfig(trainable=("classifier", r"LayerNorm\.bias$"), train_bias=True)
    sparsify(model, random_basis(model, BERT_GROUPS), config)
    names = _trained_names(model)
    assert {"classifier.weight", "classifier.bias"} < names
    assert "bert.encoder.layer.0.output.LayerNorm.bias" in names
    assert "bert.encoder.layer.0.output.dense.bias" in names
    assert not any(name.endswith("LayerNorm.weight") for name in names)


def test_an_expression_that_matches_nothing_is_refused() -> None:
    model = tiny_bert()
    before = _snapshot(model)
    with pytest.raises(InvalidInput, match="'clasifier' matches no parameter"):
        sparsify(
            model, random_basis(model, BERT_GROUPS), SparseGradConfig(trainable=("clasifier",))
        )
    assert _same(before, _snapshot(model))

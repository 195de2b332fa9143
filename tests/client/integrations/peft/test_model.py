"""Adapters on a model: saved, loaded, several at once, added, deleted; and who owns the basis."""

from __future__ import annotations

import copy
import gc
import weakref
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from support.cached_bases import MakeBasis, cache_basis
from support.sparse_models import batch_for, group_basis, tiny_bert
from torch import Tensor, nn

from sparsegrad_client.integrations.peft import SparseGradPeftConfig, SparseGradPeftLayer
from sparsegrad_shared.errors import InvalidInput, UnsupportedModel, WrongBasis

# PEFT asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

UP = "bert.encoder.layer.0.intermediate.dense"


def _adapted(digest: str, **settings: object) -> PeftModel:
    """A BERT with one adapter of random values, `default`."""
    settings = {"block": (4, 3), "init_weights": False} | settings
    return get_peft_model(tiny_bert(), SparseGradPeftConfig(basis=digest, **settings)).eval()


def _logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(**batch_for(tiny_bert())).logits


def _layers(model: nn.Module) -> list[SparseGradPeftLayer]:
    return [module for module in model.modules() if isinstance(module, SparseGradPeftLayer)]


def _deltas(model: nn.Module, adapter: str = "default") -> dict[str, Tensor]:
    return {
        layer.name: layer.get_delta_weight(adapter).detach()
        for layer in _layers(model)
        if layer.has_adapter(adapter)
    }


def test_an_adapter_goes_on_all_layers_that_the_basis_names(bert_basis: MakeBasis) -> None:
    model = _adapted(bert_basis())
    assert sorted(layer.name for layer in _layers(model)) == sorted(
        f"bert.encoder.layer.{block}.{part}.dense"
        for block in (0, 1)
        for part in ("intermediate", "output")
    )
    trained, _ = model.get_nb_trainable_parameters()
    assert trained == 4 * 4 * 3


def test_the_default_block_is_one_percent_of_a_layers_weights(client_home: Path) -> None:
    digest = cache_basis(client_home, group_basis("up", ("up",), 60, 50, dtype=torch.float32))
    model = nn.Sequential()
    model.add_module("up", nn.Linear(50, 60))
    trained, _ = get_peft_model(
        model, SparseGradPeftConfig(basis=digest)
    ).get_nb_trainable_parameters()
    assert 0 < trained <= 0.01 * 50 * 60


def test_random_state_survives_a_round_trip(bert_basis: MakeBasis, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = _adapted(bert_basis())
    model.save_pretrained(tmp_path)
    torch.manual_seed(2)
    loaded = PeftModel.from_pretrained(tiny_bert(), tmp_path).eval()
    assert not torch.equal(_logits(model), _logits(tiny_bert().eval()))
    assert torch.equal(_logits(loaded), _logits(model))


def test_files_hold_indices_values_and_the_digest_of_the_basis(
    bert_basis: MakeBasis, tmp_path: Path
) -> None:
    digest = bert_basis()
    _adapted(digest).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    sizes = {name.rpartition(".")[2]: tensor.numel() for name, tensor in tensors.items()}
    assert sizes == {
        "sparsegrad_values": 4 * 3,
        "sparsegrad_indices": 4 * 3,
        "sparsegrad_basis": 32,
    }
    assert len(tensors) == 3 * 4
    named = tensors[f"base_model.model.{UP}.sparsegrad_basis"]
    assert bytes(named.tolist()).hex() == digest.removeprefix("sha256:")
    config = SparseGradPeftConfig.from_pretrained(tmp_path)
    assert config.basis_digest == digest


def test_transformers_own_loader_takes_it_too(bert_basis: MakeBasis, tmp_path: Path) -> None:
    model = _adapted(bert_basis())
    for number, layer in enumerate(_layers(model)):
        layer.set_entries("default", number + 3 * torch.arange(12), torch.randn(12))
    model.save_pretrained(tmp_path)
    loaded = tiny_bert().eval()
    loaded.load_adapter(str(tmp_path), "again")
    torch.testing.assert_close(_logits(loaded), _logits(model))


def test_values_are_refused_on_another_basis_and_both_are_named(
    bert_basis: MakeBasis, tmp_path: Path
) -> None:
    own, other = bert_basis(0), bert_basis(1)
    model = _adapted(own)
    model.save_pretrained(tmp_path)
    config = SparseGradPeftConfig(basis=other, block=(4, 3))
    with pytest.raises(WrongBasis, match=rf"trained on basis {own}, not on .*{other}"):
        PeftModel.from_pretrained(tiny_bert(), tmp_path, config=config)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    with pytest.raises(WrongBasis, match=own):
        set_peft_model_state_dict(_adapted(other), tensors)


def test_the_basis_is_held_once_whatever_has_adapters_on_it(bert_basis: MakeBasis) -> None:
    digest = bert_basis()
    models = _adapted(digest), _adapted(digest)
    models[0].add_adapter("second", SparseGradPeftConfig(basis=digest, block=(4, 3)))
    models = *models, copy.deepcopy(models[1])
    groups = {
        id(group)
        for model in models
        for group in model.base_model.basis_of("default").groups.values()
    }
    assert len(groups) == 2  # `intermediate` and `output`
    directions = {
        name: {
            tensor.data_ptr()
            for model in models
            for layer in _layers(model)
            if name in layer.name
            for adapter in layer.sparsegrad_subspaces
            for tensor in layer.subspace(adapter).directions(torch.device("cpu"), torch.float64)
        }
        for name in ("intermediate", "output.dense")
    }
    assert [len(pointers) for pointers in directions.values()] == [2, 2]  # U_C and V_R
    # No basis among parameters and buffers: an adapter adds what it trains, and where it is.
    added = sum(t.numel() for t in models[1].state_dict().values())
    added -= sum(t.numel() for t in tiny_bert().state_dict().values())
    assert added == 4 * (2 * 4 * 3 + 32)


def test_the_basis_is_freed_when_the_last_adapter_on_it_goes(bert_basis: MakeBasis) -> None:
    digest = bert_basis()
    model = _adapted(digest)
    model.add_adapter("second", SparseGradPeftConfig(basis=digest, block=(5, 2)))
    _logits(model)
    groups = [weakref.ref(g) for g in model.base_model.basis_of("default").groups.values()]
    parts = [weakref.ref(part) for group in groups for part in group()._parts.values()]
    assert len(groups) == 2
    assert len(parts) == 4
    model.set_adapter("second")
    model.delete_adapter("default")
    gc.collect()
    assert all(group() is not None for group in groups)
    assert [part() is not None for part in parts].count(True) == 2
    model.delete_adapter("second")
    gc.collect()
    assert [ref() for ref in groups + parts] == [None] * 6


def test_a_thousand_small_steps_on_a_bfloat16_model_add_up(client_home: Path) -> None:
    digest = cache_basis(client_home, group_basis("up", ("0",), 6, 5, dtype=torch.float32))
    plain = nn.Sequential(nn.Linear(5, 6, dtype=torch.bfloat16))
    config = SparseGradPeftConfig(basis=digest, block=(2, 2), init_weights=False)
    model = get_peft_model(plain, config)
    (values,) = (p for p in model.parameters() if p.requires_grad)
    values.data.fill_(1.0)
    weight = plain[0].weight.clone()
    optimizer = torch.optim.SGD([values], lr=1e-4)
    assert torch.tensor(1.0, dtype=torch.bfloat16) + 1e-4 == 1  # where each step would be lost
    for _ in range(1000):
        values.grad = torch.full_like(values, -1.0)
        optimizer.step()
    torch.testing.assert_close(values.detach(), torch.full((4,), 1.1), rtol=1e-4, atol=0)
    assert torch.equal(plain[0].weight, weight)

    x = torch.randn(3, 5, dtype=torch.bfloat16)
    (layer,) = _layers(model)
    exact = nn.functional.linear(
        x.float(), weight.float() + layer.get_delta_weight("default"), plain[0].bias.float()
    )
    assert model(x).dtype == torch.bfloat16
    torch.testing.assert_close(model(x).float(), exact, rtol=2e-2, atol=2e-2)


def test_merging_gives_a_plain_model_with_the_same_outputs(bert_basis: MakeBasis) -> None:
    model = _adapted(bert_basis())
    apart = _logits(model)
    merged = model.merge_and_unload()
    assert not _layers(merged)
    torch.testing.assert_close(_logits(merged), apart)


def _three_adapters(digest: str) -> PeftModel:
    """Blocks of three shapes, one of them on some of the layers only."""
    model = _adapted(digest)
    model.add_adapter("wide", SparseGradPeftConfig(basis=digest, block=(2, 9), init_weights=False))
    model.add_adapter(
        "partial",
        SparseGradPeftConfig(
            basis=digest,
            block=(8, 2),
            init_weights=False,
            target_modules=r".*\.1\.output\.dense",
        ),
    )
    return model


def test_a_weighted_sum_of_adapters_is_exact(bert_basis: MakeBasis, tmp_path: Path) -> None:
    model = _three_adapters(bert_basis())
    adapters, weights = ["default", "wide", "partial", "wide"], [0.5, -2.0, 3.0, 0.25]
    model.add_weighted_adapter(adapters, weights, "sum")

    expected: dict[str, Tensor] = {}
    for name, weight in zip(adapters, weights, strict=True):
        for layer, delta in _deltas(model, name).items():
            expected[layer] = expected.get(layer, 0) + weight * delta
    found = _deltas(model, "sum")
    assert found.keys() == expected.keys()
    for layer, delta in expected.items():
        torch.testing.assert_close(found[layer], delta, rtol=0, atol=1e-14)
    assert not any(p.requires_grad for n, p in model.named_parameters() if n.endswith(".sum"))

    # Its entries are no block; they are saved and loaded all the same.
    model.set_adapter("sum")
    model.save_pretrained(tmp_path, selected_adapters=["sum"])
    loaded = PeftModel.from_pretrained(tiny_bert(), tmp_path / "sum").eval()
    assert torch.equal(_logits(loaded), _logits(model))


def test_an_adapter_less_itself_is_nothing(bert_basis: MakeBasis) -> None:
    model = _adapted(bert_basis())
    model.add_weighted_adapter(["default", "default"], [1.0, -1.0], "nothing")
    model.set_adapter("nothing")
    assert torch.equal(_logits(model), _logits(tiny_bert().eval()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_sum_on_a_low_precision_model_keeps_the_precision_of_its_parts(
    client_home: Path, dtype: torch.dtype
) -> None:
    digest = cache_basis(client_home, group_basis("up", ("0",), 6, 5, dtype=torch.float32))
    config = SparseGradPeftConfig(basis=digest, block=(3, 2), init_weights=False)
    model = get_peft_model(nn.Sequential(nn.Linear(5, 6, dtype=dtype)), config)
    model.add_weighted_adapter(["default"], [1.0], "same")
    (layer,) = _layers(model)
    assert torch.equal(layer.delta("same").values, layer.delta("default").values)


def test_a_sum_takes_the_head_of_the_one_adapter_that_has_one(bert_basis: MakeBasis) -> None:
    digest = bert_basis()
    model = _adapted(digest)
    config = SparseGradPeftConfig(basis=digest, block=(2, 2), modules_to_save=["classifier"])
    model.add_adapter("headed", config)
    heads = model.base_model.model.classifier.modules_to_save
    heads["headed"].weight.data.normal_()
    model.add_weighted_adapter(["default", "headed"], [1.0, 1.0], "sum")
    assert torch.equal(heads["sum"].weight, heads["headed"].weight)

    model.add_adapter("headed too", copy.copy(config))
    with pytest.raises(UnsupportedModel, match=r"trained classifier as a whole"):
        model.add_weighted_adapter(["headed", "headed too"], [1.0, 1.0], "both")
    assert "both" not in model.peft_config


def test_sums_that_mean_nothing_are_refused_and_leave_the_model_alone(
    bert_basis: MakeBasis,
) -> None:
    own, other = bert_basis(0), bert_basis(1)
    model = _adapted(own)
    model.add_adapter("other", SparseGradPeftConfig(basis=other, block=(4, 3)))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WrongBasis, match=rf"'default' on {own}, 'other' on {other}"):
        model.add_weighted_adapter(["default", "other"], [1.0, 1.0], "sum")
    with pytest.raises(InvalidInput, match="no adapter 'absent'; there are default, other"):
        model.add_weighted_adapter(["absent"], [1.0], "sum")
    with pytest.raises(InvalidInput, match="one weight for each.*got 2 weights for 1 adapter"):
        model.add_weighted_adapter(["default"], [1.0, 2.0], "sum")
    with pytest.raises(InvalidInput, match="finite weights, got .*inf"):
        model.add_weighted_adapter(["default"], [float("inf")], "sum")
    with pytest.raises(InvalidInput, match="there is an adapter 'other' already"):
        model.add_weighted_adapter(["default"], [1.0], "other")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_each_example_of_a_batch_takes_the_adapter_that_it_names(bert_basis: MakeBasis) -> None:
    model = _three_adapters(bert_basis())
    names = ["wide", "__base__", "default", "partial"]
    mixed = model(**batch_for(tiny_bert()), adapter_names=names).logits
    for at, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                alone = _logits(model)
        else:
            model.set_adapter(name)
            alone = _logits(model)
        torch.testing.assert_close(mixed[at], alone[at])


def test_activation_checkpointing_changes_no_gradient(bert_basis: MakeBasis) -> None:
    model = _adapted(bert_basis()).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(model(**batch_for(tiny_bert())).loss, trained)

    plainly = gradients()
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert model.is_activation_checkpointing
    for found, expected in zip(gradients(), plainly, strict=True):
        torch.testing.assert_close(found, expected)


def test_merging_into_a_quantised_model_is_refused_before_any_layer_changes(
    client_home: Path,
) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    groups = (group_basis(name, (name,), 6, 6, dtype=torch.float32) for name in "01")
    digest = cache_basis(client_home, *groups)
    plain = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    torchao.quantize_(plain, torchao.Int8WeightOnlyConfig(), filter_fn=lambda _, name: name == "1")
    config = SparseGradPeftConfig(basis=digest, block=(2, 2), init_weights=False)
    model = get_peft_model(plain, config)
    weight = _layers(model)[0].get_base_layer().weight.clone()
    with pytest.raises(UnsupportedModel, match=r"layer '1'.*quantised"):
        model.merge_adapter()
    assert torch.equal(_layers(model)[0].get_base_layer().weight, weight)
    assert not any(layer.merged for layer in _layers(model))

"""Adapters: saved, loaded into a fresh model, merged; refused when anything is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.adapters import dense, logits, trained
from support.sparse_models import (
    ARCHITECTURES,
    BERT_GROUPS,
    batch_for,
    random_basis,
    tiny_bert,
    tiny_llama,
)
from torch import Tensor, nn

from sparsegrad_client.adapters import adapter_of, load_adapter, read_adapter, save_adapter
from sparsegrad_client.adapters.files import CONFIG, TENSORS
from sparsegrad_client.basis import Basis
from sparsegrad_client.config import SparseGradConfig
from sparsegrad_client.convert import merge, sparsify
from sparsegrad_client.layers import ENGINES, sparse_layers
from sparsegrad_client.optim import build_optimizer
from sparsegrad_shared.digests import digest_of_file
from sparsegrad_shared.errors import (
    CorruptFile,
    InvalidInput,
    NotFound,
    ShapeMismatch,
    UnsupportedModel,
    WrongBasis,
)

LAYER = "bert.encoder.layer.0.intermediate.dense"


def _train(model: nn.Module, basis: Basis, **config: object) -> nn.Module:
    return trained(
        model,
        basis,
        SparseGradConfig(**({"entries": 9} if "block" not in config else {}), **config),
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_loaded_and_a_merged_model_give_the_trained_ones_outputs(
    architecture: str, engine: str, tmp_path: Path
) -> None:
    make, groups = ARCHITECTURES[architecture]
    untrained = logits(make())
    basis = random_basis(make(), groups)
    model = _train(make(), basis, engine=engine)
    expected = logits(model)
    assert not torch.allclose(expected, untrained)
    save_adapter(model, tmp_path / "adapter")

    into_plain = load_adapter(make(), tmp_path / "adapter", basis)
    into_sparse = load_adapter(sparsify(make(), basis), tmp_path / "adapter", basis)
    for loaded in (into_plain, into_sparse):
        torch.testing.assert_close(logits(loaded), expected)
        torch.testing.assert_close(logits(merge(loaded)), expected)
    torch.testing.assert_close(logits(merge(model)), expected)


@pytest.mark.parametrize("into", ENGINES)
@pytest.mark.parametrize("trained_by", ENGINES)
def test_what_one_engine_trained_every_engine_loads(
    trained_by: str, into: str, basis: Basis, tmp_path: Path
) -> None:
    everything = {"train_bias": True, "trainable": ("classifier", "LayerNorm")}
    model = _train(tiny_bert(), basis, engine=trained_by, **everything)
    save_adapter(model, tmp_path / "adapter")
    fresh = sparsify(tiny_bert(), basis, SparseGradConfig(engine=into, **everything))  # type: ignore[arg-type]
    load_adapter(fresh, tmp_path / "adapter", basis)
    torch.testing.assert_close(logits(fresh), logits(model))
    torch.testing.assert_close(logits(merge(fresh)), logits(merge(model)))


def test_the_sum_of_two_blocks_loads_on_weights_of_half_precision(basis: Basis) -> None:
    def half() -> nn.Module:
        return tiny_bert().to(torch.bfloat16)

    first, second = (
        adapter_of(_train(half(), basis, block=block, trainable=())) for block in ((2, 3), (4, 2))
    )
    assert first.layers[LAYER].values.dtype == torch.float32
    total = load_adapter(half(), first + second, basis)
    layers = {layer.name: layer for layer in sparse_layers(total).values()}
    assert {layer.engine for layer in layers.values()} == {"adapter"}
    for name, layer in layers.items():
        found = torch.zeros(layer.group.r_out * layer.group.r_in)
        found[layer.delta.indices] = layer.delta.values
        expected = dense(first.layers[name]) + dense(second.layers[name])
        assert torch.equal(found.view(expected.shape), expected)


def test_a_block_that_auto_chose_is_the_same_block_on_other_weights(basis: Basis) -> None:
    model = _train(tiny_bert().bfloat16(), basis, trainable=())
    loaded = load_adapter(tiny_bert(), adapter_of(model), basis)
    for name, layer in sparse_layers(loaded).items():
        assert layer.engine == "adapter"
        assert torch.equal(layer.positions, sparse_layers(model)[name].positions)


def test_a_frozen_support_is_the_loaded_adapters(basis: Basis) -> None:
    config = SparseGradConfig(entries=7, selection="frozen")
    model = sparsify(tiny_bert(), basis, config, warm_up=[batch_for(tiny_bert(), 3)])
    optimizer = build_optimizer(model, lr=1e-2)
    model(**batch_for(model, 0)).loss.backward()
    optimizer.step()
    adapter = adapter_of(model)
    loaded = load_adapter(tiny_bert(), adapter, basis)
    torch.testing.assert_close(logits(loaded), logits(model))
    for layer in sparse_layers(loaded).values():
        assert torch.equal(layer.positions, adapter.layers[layer.name].indices)


def test_other_weights_than_training_began_with_are_warned_of(adapter: Path, basis: Basis) -> None:
    said = r"adapter: the model's weights are not those .* in 4 of 4 layers .* on tests/random"
    with pytest.warns(UserWarning, match=said):
        load_adapter(tiny_bert(seed=1), adapter, basis)
    merged = merge(load_adapter(tiny_bert(), adapter, basis))
    with pytest.warns(UserWarning, match=said):
        load_adapter(merged, adapter, basis)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_same_weights_in_another_type_are_the_same(
    dtype: torch.dtype, adapter: Path, basis: Basis
) -> None:
    block = SparseGradConfig(selection="block", engine="adapter")
    sparse = sparsify(tiny_bert().to(dtype), basis, block)
    load_adapter(sparse, adapter, basis)  # a warning would be an error here
    with pytest.warns(UserWarning, match="not those"):
        load_adapter(sparsify(tiny_bert(seed=1).to(dtype), basis, block), adapter, basis)


def test_an_adapter_from_before_weights_were_sampled_is_loaded(adapter: Path, basis: Basis) -> None:
    def forget(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(".sample")]:
            del tensors[name]

    expected = logits(load_adapter(tiny_bert(), adapter, basis))
    _rewrite(forget)(adapter)
    assert read_adapter(adapter).layers[LAYER].sample is None
    assert torch.equal(logits(load_adapter(tiny_bert(), adapter, basis)), expected)


@pytest.fixture
def basis() -> Basis:
    return random_basis(tiny_bert(), BERT_GROUPS)


@pytest.fixture
def adapter(tmp_path: Path, basis: Basis) -> Path:
    save_adapter(_train(tiny_bert(), basis), tmp_path / "adapter")
    return tmp_path / "adapter"


def test_everything_that_was_trained_is_saved_and_nothing_else(
    tmp_path: Path, basis: Basis
) -> None:
    config = {"train_bias": True, "trainable": ("classifier", "LayerNorm")}
    model = _train(tiny_bert(), basis, **config)
    save_adapter(model, tmp_path / "adapter")
    loaded = load_adapter(tiny_bert(), tmp_path / "adapter", basis)
    for (name, ours), theirs in zip(
        loaded.named_parameters(), dict(model.named_parameters()).values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, msg=name)
        assert ours.requires_grad == theirs.requires_grad
    saved = safetensors.torch.load_file(tmp_path / "adapter" / TENSORS)
    names = {name for name in saved if not name.endswith((".indices", ".values", ".sample"))}
    assert names == {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.endswith(".coordinates")
    }
    assert saved[f"{LAYER}.indices"].dtype == torch.int32


def test_a_compiled_models_adapter_has_the_models_own_names(basis: Basis) -> None:
    model = trained(tiny_bert(), basis)
    expected = adapter_of(model)
    found = adapter_of(torch.compile(model, backend="eager"))
    assert found.layers.keys() == expected.layers.keys()
    assert found.parameters.keys() == expected.parameters.keys()


def test_a_loaded_adapter_goes_on_training_and_saves_the_sum(
    tmp_path: Path, adapter: Path, basis: Basis
) -> None:
    model = load_adapter(tiny_bert(), adapter, basis)
    optimizer = build_optimizer(model, lr=1e-2)
    model(**batch_for(model, 7)).loss.backward()
    optimizer.step()
    save_adapter(model, tmp_path / "second")
    again = load_adapter(tiny_bert(), tmp_path / "second", basis)
    torch.testing.assert_close(logits(again), logits(model))


def test_the_config_says_what_the_adapter_is_of(adapter: Path, basis: Basis) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    assert config["format_version"] == 1
    assert config["basis_digest"] == basis.digest
    assert config["model"] == "tests/random"
    assert config["training"]["entries"] == 9
    assert config["layers"][LAYER]["d_out"] == 24
    assert config["parameters"] == ["classifier.weight", "classifier.bias"]


def test_saving_again_replaces_the_adapter_and_leaves_nothing_beside_it(
    adapter: Path, basis: Basis
) -> None:
    first = digest_of_file(adapter / TENSORS)
    save_adapter(_train(tiny_bert(seed=1), basis), adapter)
    assert digest_of_file(adapter / TENSORS) != first
    load_adapter(tiny_bert(seed=1), adapter, basis)
    assert [path.name for path in adapter.parent.iterdir()] == ["adapter"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path, basis: Basis) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    model = sparsify(tiny_bert(), basis)
    with pytest.raises(InvalidInput, match=r"found notes\.txt; choose another folder"):
        save_adapter(model, tmp_path)
    with pytest.raises(InvalidInput, match="found a file"):
        save_adapter(model, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "keep me"


def test_a_plain_model_has_no_adapter_to_save(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no sparse layers"):
        save_adapter(tiny_bert(), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def _refused(model: nn.Module, path: Path, basis: Basis, error: type[Exception], said: str) -> None:
    """Loading is refused and leaves the model as it was, to the object."""
    before = {
        name: (parameter, parameter.requires_grad) for name, parameter in model.named_parameters()
    }
    values = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = list(model.modules())
    with pytest.raises(error, match=said):
        load_adapter(model, path, basis)
    assert list(model.modules()) == modules
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0]
        assert parameter.requires_grad == before[name][1]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, values[name])


def test_another_basis_is_refused_by_both_names(adapter: Path, basis: Basis) -> None:
    other = random_basis(tiny_bert(), BERT_GROUPS, seed=1)
    said = rf"trained on basis .*{basis.digest}.*not on .*{other.digest}"
    _refused(tiny_bert(), adapter, other, WrongBasis, said)
    _refused(sparsify(tiny_bert(), other), adapter, basis, WrongBasis, said)


def test_another_model_is_refused(adapter: Path, basis: Basis) -> None:
    _refused(tiny_llama(), adapter, basis, UnsupportedModel, "classifier.weight")
    model = tiny_bert()
    model.classifier = nn.Linear(16, 5).double()
    _refused(model, adapter, basis, ShapeMismatch, r"'classifier.weight' is \(2, 16\)")


def test_a_trained_model_is_refused(adapter: Path, basis: Basis) -> None:
    model = load_adapter(tiny_bert(), adapter, basis)
    _refused(model, adapter, basis, InvalidInput, "trained already .*fresh model")


def test_no_adapter_is_said_to_be_none(tmp_path: Path, basis: Basis) -> None:
    _refused(tiny_bert(), tmp_path / "nothing", basis, NotFound, f"no {CONFIG}")
    _refused(tiny_bert(), tmp_path, basis, NotFound, f"no {CONFIG}")


def _flip(path: Path) -> None:
    data = bytearray((path / TENSORS).read_bytes())
    data[-1] ^= 1
    (path / TENSORS).write_bytes(data)


def _truncate(path: Path) -> None:
    (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:-10])


def _truncate_config(path: Path) -> None:
    (path / CONFIG).write_bytes((path / CONFIG).read_bytes()[:-10])


def _edit(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        config = json.loads((path / CONFIG).read_text())
        change(config)
        (path / CONFIG).write_text(json.dumps(config))

    return spoil


def _rewrite(change: Callable[[dict[str, Tensor]], None]) -> Callable[[Path], None]:
    """Tensors that someone wrote by hand, digest and all."""

    def spoil(path: Path) -> None:
        tensors = safetensors.torch.load_file(path / TENSORS)
        change(tensors)
        safetensors.torch.save_file(tensors, path / TENSORS)
        _edit(lambda config: config.update(tensors_digest=digest_of_file(path / TENSORS)))(path)

    return spoil


def _foreign(path: Path) -> None:
    (path / TENSORS).write_bytes(b"PK\x03\x04 a zip file, perhaps a pickle")
    _edit(lambda config: config.update(tensors_digest=digest_of_file(path / TENSORS)))(path)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_flip, CorruptFile, "expected sha256:.*found sha256:"),
        (_truncate, CorruptFile, "expected sha256:.*found sha256:"),
        (lambda path: (path / TENSORS).unlink(), CorruptFile, "the file is missing"),
        (_foreign, CorruptFile, "not a safetensors file"),
        (_truncate_config, CorruptFile, f"{CONFIG}: not the config of an adapter"),
        (lambda path: (path / CONFIG).write_bytes(b"\xff\xfe"), CorruptFile, CONFIG),
        (_edit(lambda c: c.update(format_version=2)), CorruptFile, "format_version"),
        (_edit(lambda c: c.update(base_model_name_or_path="x")), CorruptFile, "base_model_name"),
        (_edit(lambda c: c["layers"].pop(LAYER)), CorruptFile, "disagree about .*intermediate"),
        (_edit(lambda c: c["layers"][LAYER].update(d_in=9)), ShapeMismatch, "'bert.encoder"),
        (_rewrite(lambda t: t.pop(f"{LAYER}.values")), CorruptFile, f"disagree about {LAYER}"),
        (
            _rewrite(lambda t: t[f"{LAYER}.indices"].add_(10**6)),
            InvalidInput,
            f"layer '{LAYER}': expected indices from 0 to 383",
        ),
        (_rewrite(lambda t: t[f"{LAYER}.values"].fill_(torch.nan)), InvalidInput, "finite"),
        (
            _rewrite(lambda t: t.update({f"{LAYER}.sample": torch.zeros(3, dtype=torch.int8)})),
            ShapeMismatch,
            "expected a sample of floating-point numbers",
        ),
    ],
)
def test_files_that_are_not_right_are_refused_by_name(
    adapter: Path, basis: Basis, spoil: Callable[..., object], error: type[Exception], said: str
) -> None:
    spoil(adapter)
    _refused(tiny_bert(), adapter, basis, error, said)


def test_a_missing_layer_of_the_model_is_refused_by_name(adapter: Path, basis: Basis) -> None:
    model = tiny_bert()
    model.bert.encoder.layer[1].output.dense = nn.Identity()
    _refused(model, adapter, basis, UnsupportedModel, r"layer\.1\.output\.dense")


def test_an_adapter_is_the_size_of_its_entries(adapter: Path, basis: Basis) -> None:
    model = load_adapter(tiny_bert(), adapter, basis)
    entries = sum(len(layer.delta) for layer in sparse_layers(model).values())
    head = model.classifier.weight.numel() + model.classifier.bias.numel()
    content = entries * (4 + 8) + head * 8 + len(sparse_layers(model)) * 16 * 8
    assert content < (adapter / TENSORS).stat().st_size < content + 2000

"""What a config refuses, and how it finds its basis: by name once, by digest from then on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from support import tiny_models
from support.cached_bases import MakeBasis
from support.servers import RunningServer
from support.sparse_models import tiny_bert

from sparsegrad_client import Basis, BasisService, calibrate
from sparsegrad_client.integrations.peft import SparseGradPeftConfig
from sparsegrad_shared.errors import (
    CorruptFile,
    InvalidInput,
    InvalidReference,
    ServerUnreachable,
)

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

NOWHERE = "http://127.0.0.1:9"
A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"density": 0.1, "entries": 5}, InvalidInput, "contradict one another"),
        ({"entries": 5, "block": (2, 2)}, InvalidInput, "contradict one another"),
        ({"density": 0.0}, InvalidInput, "a share over 0"),
        ({"entries": 0}, InvalidInput, "at least 1"),
        ({"block": (2, 0)}, InvalidInput, "rows and columns, both over 0"),
        ({"block": (2, 2, 2)}, InvalidInput, "rows and columns"),
        ({"basis": "no reference"}, InvalidReference, "no reference"),
        ({"basis_digest": "abc"}, InvalidInput, "expected sha256"),
        ({"basis": A, "basis_digest": B}, InvalidInput, "contradict one another"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_when_the_config_is_made(
    settings: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        SparseGradPeftConfig(**settings)


def test_a_config_survives_its_file(tmp_path: Path) -> None:
    config = SparseGradPeftConfig(
        basis="team/reviews@3", basis_digest=A, block=(4, 5), target_modules=["up", "down"]
    )
    config.save_pretrained(str(tmp_path))
    assert SparseGradPeftConfig.from_pretrained(str(tmp_path)) == config


def test_a_digest_given_as_reference_is_the_digest() -> None:
    assert SparseGradPeftConfig(basis=A).basis_digest == A


def test_all_linear_means_every_layer_that_the_basis_has() -> None:
    assert SparseGradPeftConfig(target_modules="all-linear").target_modules is None


def test_without_a_basis_there_is_no_adapter() -> None:
    with pytest.raises(InvalidInput, match="expected a basis, got none; give the one"):
        get_peft_model(tiny_bert(), SparseGradPeftConfig(target_modules=["dense"]))


@pytest.fixture(scope="module")
def published(
    team_server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Basis]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEGRAD_HOME", str(tmp_path_factory.mktemp("publisher")))
        torch.manual_seed(0)
        yield calibrate(
            tiny_models.bert(),
            [tiny_models.classification_batch(0)],
            f"team/{uuid.uuid4().hex}",
            server=team_server.url,
            token=team_server.token,
            steps=2,
            held_out=1,
        )


def test_an_adapter_keeps_the_version_that_an_alias_named(
    team_server: RunningServer,
    published: Basis,
    client_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARSEGRAD_SERVER", team_server.url)
    monkeypatch.setenv("SPARSEGRAD_TOKEN", team_server.token)
    name, _, version = str(published).partition("@")
    with BasisService(team_server.url, team_server.token) as service:
        service.set_alias(name, "prod", int(version), expected=None)
    config = SparseGradPeftConfig(basis=f"{name}:prod", init_weights=False)
    model = get_peft_model(tiny_models.bert(), config)
    assert (config.basis, config.basis_digest) == (str(published), published.digest)
    model.save_pretrained(tmp_path)

    # From then on the digest is enough, and the cache has it.
    monkeypatch.setenv("SPARSEGRAD_SERVER", NOWHERE)
    loaded = PeftModel.from_pretrained(tiny_models.bert(), tmp_path)
    assert loaded.peft_config["default"].basis_digest == published.digest


def test_a_basis_that_cannot_be_had_is_named_by_reference_and_digest(
    client_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEGRAD_SERVER", NOWHERE)
    config = SparseGradPeftConfig(basis="team/reviews@3", basis_digest=A)
    with pytest.raises(ServerUnreachable) as caught:
        get_peft_model(tiny_bert(), config)
    assert f"team/reviews@3 ({A})" in "".join(caught.value.__notes__)


@pytest.fixture
def saved_with_copy(bert_basis: MakeBasis, tmp_path: Path) -> Path:
    config = SparseGradPeftConfig(
        basis=bert_basis(), block=(4, 3), init_weights=False, save_basis_copy=True
    )
    get_peft_model(tiny_bert(), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEGRAD_HOME", str(tmp_path / "another home"))
    monkeypatch.setenv("SPARSEGRAD_SERVER", NOWHERE)


def test_a_copy_of_the_basis_loads_where_there_is_neither_server_nor_cache(
    saved_with_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(tmp_path, monkeypatch)
    model = PeftModel.from_pretrained(tiny_bert(), saved_with_copy)
    # It is in the cache now, and the copy is not needed any more.
    (saved_with_copy / "bases").rename(tmp_path / "gone")
    again = PeftModel.from_pretrained(tiny_bert(), saved_with_copy)
    for (name, tensor), other in zip(
        model.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name


def test_a_damaged_copy_is_refused_by_the_name_of_its_file(
    saved_with_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(tmp_path, monkeypatch)
    (file,) = saved_with_copy.rglob("intermediate.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"intermediate\.safetensors.*Delete this folder"):
        PeftModel.from_pretrained(tiny_bert(), saved_with_copy)
    assert not (tmp_path / "another home").exists()


def test_a_digest_in_a_file_cannot_lead_out_of_the_adapters_folder(
    saved_with_copy: Path, tmp_path: Path
) -> None:
    file = saved_with_copy / "adapter_config.json"
    config = json.loads(file.read_text()) | {"basis": None, "basis_digest": "sha256:../../home"}
    file.write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match="basis_digest: expected sha256"):
        SparseGradPeftConfig.from_pretrained(str(saved_with_copy))


def test_without_being_asked_no_basis_is_copied(bert_basis: MakeBasis, tmp_path: Path) -> None:
    config = SparseGradPeftConfig(basis=bert_basis(), block=(4, 3))
    get_peft_model(tiny_bert(), config).save_pretrained(tmp_path)
    assert not (tmp_path / "bases").exists()

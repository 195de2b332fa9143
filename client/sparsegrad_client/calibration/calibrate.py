"""A calibration from end to end: plan, collect, send, finish, fetch the basis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from torch import nn
from torch.distributed import ProcessGroup

from sparsegrad_shared.calibrations import (
    CalibrationManifest,
    DatasetSource,
    HosvdOptions,
    ModelSource,
    Normalization,
)
from sparsegrad_shared.errors import InvalidInput
from sparsegrad_shared.references import parse_name

from ..bases import fetch_with
from ..basis import Basis
from ..connection import server_name
from ..groups import LayerSpec, auto_spec, find_groups
from ..model_names import folder_id
from .batches import Batch, fingerprint, joint_fingerprint, take
from .frames import Send
from .plan import Plan
from .ranks import Ranks
from .run import Progress, Run, open_together

# The share of energy that the top 1% of entries hold in the basis, on gradients of an ordinary
# fine-tuning (MiniLM, CoLA, 90 further steps, head trained) that no basis has seen:
#
#   lr               0     1e-5   5e-5   2e-4   1e-3
#   intermediate   0.862  0.870  0.880  0.870  0.835   (0.836 in the original space)
#   output         0.724  0.735  0.750  0.730  0.652   (0.339 in the original space)
#
# Training in the basis likes gradients from further along: a block a layer (SST-2, the head trained
# in the calibration too) came to a loss of 0.382 with 5e-5, 0.371 with 2e-4, 0.366 with 1e-3, and
# an accuracy of .854, .858 and .851.
DEFAULT_LR = 2e-4

SECONDS_A_DAY = 86_400

# That of `build_optimizer`.
DEFAULT_HEAD_LR = 5e-4


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
    normalize: Normalization = "none",
    lr: float = DEFAULT_LR,
    head_lr: float = DEFAULT_HEAD_LR,
    send: Send = "auto",
    source: ModelSource | None = None,
    dataset: DatasetSource | None = None,
    tags: Sequence[str] = (),
    ttl_days: float | None = None,
    resume: str | None = None,
    process_group: ProcessGroup | None = None,
    opened: Callable[[str], None] = lambda calibration: None,
    progress: Progress = lambda phase, completed, total: None,
) -> Basis:
    """Collect gradients of a model on data, and have a basis computed and published.

    The groups' weights, and a task head on top of the model, are unfrozen and trained for `steps`
    + `held_out` steps of AdamW (paper, section 3.1), in training mode. Afterwards, also after an
    error, the model is bit for bit what it was. Gradients travel while the next step computes.
    When this is cut short, the calibration stays open on the server, and the error carries a note
    with its id.

    With `process_group` the ranks train as one data-parallel run: each calls this with the same
    model and arguments and with batches of its own, sends its own gradients, and gets the same
    basis. A step moves the weights by the mean of the ranks' gradients. A rank that fails ends
    all of them; one that dies ends them by the group's time-out at the latest.

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
        head_lr: learning rate of a task head, where the model has one; 0 leaves it as it is.
        send: ``"dense"`` sends G, ``"factored"`` sends g and x, ``"auto"`` what is smaller.
            ``"sums"`` sends, after the first step's gradients, only Σ GᵀG and Σ GGᵀ of the others
            (4 (d_in² + d_out²) bytes a group and rank, however many the steps) and holds these
            sums in float64 on the model's device; the basis is the same to round-off.
        source: what the model is called; worked out from its config when None.
        dataset: what the data is called; a digest of the batches when None.
        tags: words that the basis can be found by.
        ttl_days: days that the server keeps the gradients; its own default when None. The basis
            stays.
        resume: id of a calibration that was cut short; the same arguments as then are needed, and
            only what has not arrived is sent.
        process_group: the ranks that calibrate together, such as
            ``torch.distributed.group.WORLD``; None for this process alone.
        opened: told the calibration's id as soon as it has one, on every rank: what `resume`
            takes, also after a kill.
        progress: called with a phase, how much of it is done, and how much there is.

    Returns:
        The published basis.

    Raises:
        InvalidReference: when `name` is not of the form team/name.
        InvalidInput: when an argument, a batch or the loss cannot be used; says which.
        NonFiniteGradient: names step and layer.
        JobFailed: when the server could not compute the basis.
        ServerUnreachable: when the server does not answer for longer than it is waited for.
        RankFailed: when another rank failed or answers no more; says what it said.
    """
    parse_name(name)
    ranks = Ranks(process_group, next(model.parameters()).device)
    ranks.check_model(model)
    with ranks.agreed():
        groups = find_groups(model, auto_spec(model) if spec == "auto" else spec)
        plan = Plan(groups, steps, held_out, ranks.count, ranks.rank, summed=send == "sums")
        taken = take(batches, plan.all_steps)
        digest = "" if dataset else fingerprint(taken)
    manifest = _manifest(
        plan,
        name,
        source or _source(model),
        dataset or DatasetSource(id="unnamed", fingerprint=joint_fingerprint(ranks.gather(digest))),
        {"rank": rank, "energy": energy, "normalize": normalize},
        tags,
        ttl_days,
    )
    arguments = (
        f"{manifest.model_dump_json()} lr={lr} head_lr={head_lr} send={send} resume={resume}"
    )
    ranks.check_same("the arguments of calibrate", arguments)
    with open_together(ranks, server, token) as service:
        run = Run(service, model, plan, taken, ranks, progress)
        calibration = run.open(manifest, resume)
        opened(calibration.id)
        with _resumable(calibration.id):
            if calibration.state == "open":
                run.collect(calibration, lr=lr, head_lr=head_lr, send=send, normalize=normalize)
            job = run.finish(calibration.id)
            # Ranks leave together: the first one's embedded server ends with it.
            with ranks.agreed():
                basis = run.await_basis(job)
                return fetch_with(service, basis, server_name(server), progress)


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
    plan: Plan,
    name: str,
    source: ModelSource,
    dataset: DatasetSource,
    options: dict[str, object],
    tags: Sequence[str],
    ttl_days: float | None,
) -> CalibrationManifest:
    ttl_seconds = None if ttl_days is None else ttl_days * SECONDS_A_DAY
    try:
        checked = HosvdOptions.model_validate(options)
        return plan.manifest(name, source, dataset, checked, tags, ttl_seconds)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{where or 'options'}: {first['msg']}; got {first.get('input')!r}"
        ) from None


def _source(model: nn.Module) -> ModelSource:
    config = getattr(model, "config", None)
    path = getattr(config, "_name_or_path", "") or type(model).__name__
    folder = Path(path).is_absolute() or Path(path).is_dir()
    name = folder_id(Path(path).resolve()) if folder else path
    return ModelSource(
        id=name or type(model).__name__,
        revision=getattr(config, "_commit_hash", None),
        architecture=type(model).__name__,
    )

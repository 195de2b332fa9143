"""The record of a training: ``training.jsonl``, one JSON object a line, written as it goes.

====================  ==============================================================
`kind`                when it is written
====================  ==============================================================
``run``               first: what is trained, with what, on what machine
``step``              after an optimizer step
``evaluation``        after the model was measured on data
``fit``               after a step whose gradients were held against the basis
``misfit``            once a group, when its gradients no longer fit the basis
``basis``             when the training went on in another basis
``resumed``           when it went on from a checkpoint: later steps are done again
``end``               last, in a run that came to its end
====================  ==============================================================

Steps count optimizer steps from 1; 0 is before the first. Seconds count from the run's start.
A kill may leave half a last line, which reading ignores. Newer versions of the program may write
members and kinds that this one does not know: it leaves them out, as long as `format` is 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from sparsegrad_shared.errors import CorruptFile, InvalidInput
from sparsegrad_shared.references import Digest

RECORD_FILE = "training.jsonl"
FORMAT: Literal[1] = 1

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Step = Annotated[int, Field(ge=0)]
Seconds = Annotated[FiniteFloat, Field(ge=0)]


class RecordPart(BaseModel):
    """The base of everything in a record."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class BasisFacts(RecordPart):
    """A basis.

    Attributes:
        reference: ``team/name@version``; None for one that came without a name.
        digest: its identity.
    """

    reference: str | None
    digest: Digest


class GroupFacts(RecordPart):
    """The layers that share a basis.

    Attributes:
        layers: how many.
        values: of their weights, all layers together.
        entries: of those, how many a step may change.
        density: the share of a layer's entries that `GroupFit.energy` speaks of; None where the
            energy is not measured.
        calibration: that energy on the calibration's held-out gradients; None where not known.
    """

    layers: int = Field(ge=1)
    values: int = Field(ge=1)
    entries: int = Field(ge=0)
    density: Share | None = None
    calibration: Share | None = None


class Machine(RecordPart):
    """What the training runs on.

    Attributes:
        device: ``cpu`` or the name of the accelerator.
        processor: the kind of processor.
        cores: that the process may use.
        memory: main memory, bytes; None where the system does not say.
        system: the operating system.
    """

    device: str
    processor: str
    cores: int
    memory: int | None
    system: str


class RunFacts(RecordPart):
    """What is trained, with what, on what: the first line.

    Attributes:
        started: when, UTC.
        model: name of the model.
        dataset: name of the data set; None where not known.
        basis: what the training begins in.
        engine: how the layers compute.
        selection: which entries a step changes.
        groups: the basis's groups.
        steps: optimizer steps planned; None where not known.
        batch_size: examples a batch; None where not known.
        accumulation: batches a step.
        lr: highest learning rate of the sparse layers.
        head_lr: highest learning rate of everything else that trains; None where nothing does.
        seed: of every random choice; None where not known.
        metric: what `EvaluationLine.score` is; None where the loss is all there is.
        head_values: values of everything else that trains.
        model_values: values of the model.
        versions: of Python and the libraries, by name.
        machine: what it runs on.
    """

    kind: Literal["run"] = "run"
    format: Literal[1] = FORMAT
    started: datetime
    model: str
    dataset: str | None = None
    basis: BasisFacts
    engine: str
    selection: str
    groups: dict[str, GroupFacts] = Field(min_length=1)
    steps: int | None = None
    batch_size: int | None = None
    accumulation: int = 1
    lr: float
    head_lr: float | None = None
    seed: int | None = None
    metric: str | None = None
    head_values: int = 0
    model_values: int
    versions: dict[str, str]
    machine: Machine


class Memory(RecordPart):
    """Peaks so far, bytes.

    Attributes:
        process: main memory of the process; None where the system does not say.
        device: the accelerator's, allocated by torch; None without one.
    """

    process: int | None = None
    device: int | None = None


class StepLine(RecordPart):
    """An optimizer step.

    Attributes:
        step: its number.
        seconds: when it was done.
        loss: mean over its batches.
        lr: learning rate of the sparse layers in it.
        head_lr: the same of everything else that trains; None where nothing does.
        memory: peaks so far.
        updated: entries that this step changed, by group.
        touched: entries that any step has changed so far, by group.
    """

    kind: Literal["step"] = "step"
    step: Annotated[int, Field(ge=1)]
    seconds: Seconds
    loss: FiniteFloat
    lr: FiniteFloat
    head_lr: FiniteFloat | None = None
    memory: Memory = Memory()
    updated: dict[str, int]
    touched: dict[str, int]


class EvaluationLine(RecordPart):
    """The model on data that it does not train on.

    Attributes:
        step: steps done by then.
        seconds: when.
        loss: mean over the examples or tokens.
        score: the run's metric, higher is better; None where there is none.
    """

    kind: Literal["evaluation"] = "evaluation"
    step: Step
    seconds: Seconds
    loss: FiniteFloat
    score: FiniteFloat | None = None


class GroupFit(RecordPart):
    """How well a group's gradients fit the basis: shares of ‖G‖², over the group's layers.

    Attributes:
        energy: in the largest `GroupFacts.density` of the entries of G̃; what the calibration's
            report calls `basis.energy`.
        original: in as many entries of G itself; what the report calls `original.energy`.
        captured: in all of G̃; 1 in a full basis.
    """

    energy: Share
    original: Share
    captured: Share


class FitLine(RecordPart):
    """The fit of one step's gradients, by group."""

    kind: Literal["fit"] = "fit"
    step: Annotated[int, Field(ge=1)]
    groups: dict[str, GroupFit]


class MisfitLine(RecordPart):
    """A group's gradients no longer fit the basis.

    Attributes:
        step: when it was noticed.
        group: which.
        energy: the share that the largest entries hold in the basis, median of the last samples.
        original: the share that as many hold in the original space, median of the same.
        calibration: `energy` on the calibration's held-out gradients.
    """

    kind: Literal["misfit"] = "misfit"
    step: Step
    group: str
    energy: Share
    original: Share
    calibration: Share


class BasisLine(RecordPart):
    """The training goes on in another basis.

    Attributes:
        step: steps done by then.
        basis: the new basis.
        calibration: the new basis's held-out energies, by group.
    """

    kind: Literal["basis"] = "basis"
    step: Step
    basis: BasisFacts
    calibration: dict[str, Share]


class ResumedLine(RecordPart):
    """The training went on from what it was after `step`: lines of later steps do not count."""

    kind: Literal["resumed"] = "resumed"
    step: Step


class EndLine(RecordPart):
    """The training came to its end, after `step` steps and `seconds`."""

    kind: Literal["end"] = "end"
    step: Step
    seconds: Seconds


Line = StepLine | EvaluationLine | FitLine | MisfitLine | BasisLine | ResumedLine | EndLine
_KINDS = {cls.model_fields["kind"].default for cls in Line.__args__}
_LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])

_Kind = TypeVar("_Kind", bound=RecordPart)


@dataclass(frozen=True)
class TrainingRecord:
    """A record as read.

    Attributes:
        run: the first line.
        lines: the others that count, in order.
    """

    run: RunFacts
    lines: tuple[Line, ...]

    def of(self, kind: type[_Kind]) -> tuple[_Kind, ...]:
        """The lines of one kind, such as ``record.of(StepLine)``, in order."""
        return tuple(line for line in self.lines if isinstance(line, kind))

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.of(EndLine))


def read_record(path: Path) -> TrainingRecord:
    """Read a record; of a run that is still going on, what there is so far.

    Args:
        path: the file, or the folder that has it.

    Raises:
        InvalidInput: when there is none.
        CorruptFile: when it is not a record, or damaged; names the line.
    """
    file = path / RECORD_FILE if path.is_dir() else path
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(
            f"{path}: there is no {RECORD_FILE}; give the --output folder of a training"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from None
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    if not whole:
        raise CorruptFile(f"{file}: expected the facts of a run in the first line, found nothing")
    run = _run(file, whole[0])
    lines: list[Line] = []
    for line in _lines(file, whole[1:]):
        if isinstance(line, ResumedLine):
            lines = [earlier for earlier in lines if earlier.step <= line.step]
        lines.append(line)
    return TrainingRecord(run, tuple(lines))


def _run(file: Path, line: bytes) -> RunFacts:
    document = _document(file, 1, line)
    if document.get("kind") != "run":
        raise CorruptFile(f"{file}, line 1: expected the facts of a run; this is no record")
    if document.get("format") != FORMAT:
        raise CorruptFile(
            f"{file}: a record of format {document.get('format')!r}, expected {FORMAT}; "
            "a newer SparseGrad reads it"
        )
    try:
        return RunFacts.model_validate(document)
    except ValidationError as error:
        raise _damaged(file, 1, error) from None


def _lines(file: Path, rest: list[bytes]) -> Iterator[Line]:
    for number, content in enumerate(rest, start=2):
        document = _document(file, number, content)
        if document.get("kind") not in _KINDS:
            continue
        try:
            yield _LINE.validate_python(document)
        except ValidationError as error:
            raise _damaged(file, number, error) from None


def _document(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        raise CorruptFile(f"{file}, line {number}: expected JSON, found {line[:40]!r}") from None
    if not isinstance(document, dict):
        raise CorruptFile(f"{file}, line {number}: expected an object, found {line[:40]!r}")
    return document


def _damaged(file: Path, number: int, error: ValidationError) -> CorruptFile:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return CorruptFile(f"{file}, line {number}: {where}: {first['msg']}")

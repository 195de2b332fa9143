"""A calibration, as client and server speak of it.

A calibration collects the gradients of one or more groups. Each gradient has a slot: an index in
its group. The first `gradients` slots are those that the basis is fitted on; the `held_out` slots
after them are those that it is judged on, which it has never seen.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    model_validator,
)

from .framing import DType
from .references import QualifiedName, Segment

MAX_EXTENT = 1 << 20  # entries along one axis of a weight; the largest vocabularies have 2^18
MAX_SLOTS = 1_000_000
MAX_GROUPS = 1_000
MAX_LAYERS = 10_000  # of one group
MAX_TAGS = 64  # of one version
MAX_MEMBERS = 100  # of one object; none has nearly as many
MAX_TTL_SECONDS = 10 * 365 * 86_400


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time whose year in UTC is from 1 to 9999") from None


_Item = TypeVar("_Item")

# The first item that is wrong is complaint enough: a body may hold millions of them.
Several = Annotated[tuple[_Item, ...], FailFast()]
# No NUL: PostgreSQL's text cannot hold it.
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
LayerPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,300}$")]
GradientForm = Literal["dense", "factored", "sums"]
Normalization = Literal["none", "frobenius"]
CalibrationState = Literal["open", "finished", "expired"]
FORM_TENSORS: dict[GradientForm, tuple[str, ...]] = {
    "dense": ("G",),
    "factored": ("g", "x"),
    "sums": ("A_in", "A_out"),
}


class Model(BaseModel):
    """The base of what a client asks for: immutable, and no member that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_members(cls, value: object) -> object:
        # Each that is not known is a complaint of its own: a body may hold a million of them.
        if isinstance(value, dict) and len(value) > MAX_MEMBERS:
            raise ValueError(f"expected at most {MAX_MEMBERS} members; got {len(value)}")
        return value


class Answer(BaseModel):
    """The base of what a server answers: a newer one may say more than this client knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelSource(Model):
    """The model that gradients come from."""

    id: Text = Field(examples=["meta-llama/Llama-2-7b-hf"])
    revision: Text | None = None
    architecture: Text = Field(examples=["LlamaForCausalLM"])


class DatasetSource(Model):
    """The data that gradients come from; the fingerprint tells two sets of one name apart."""

    id: Text
    fingerprint: Text


class GroupSpec(Model):
    """The layers that share one basis, and the gradients that they will send.

    Attributes:
        name: the group's name.
        layers: paths of its layers in the model; they all have the same shape.
        d_out: rows of each gradient G.
        d_in: columns of each gradient G.
        dtype: data type that the gradients are sent in.
        gradients: slots that the basis is fitted on.
        held_out: slots after them that the basis is judged on.
    """

    name: Segment
    layers: Annotated[Several[LayerPath], Field(min_length=1, max_length=MAX_LAYERS)]
    d_out: Annotated[int, Field(ge=1, le=MAX_EXTENT)]
    d_in: Annotated[int, Field(ge=1, le=MAX_EXTENT)]
    dtype: DType
    gradients: Annotated[int, Field(ge=1, le=MAX_SLOTS)]
    held_out: Annotated[int, Field(ge=0, le=MAX_SLOTS)] = 0

    @property
    def slots(self) -> int:
        """Slots in all, fitted and held out."""
        return self.gradients + self.held_out


class HosvdOptions(Model):
    """How the basis is computed.

    Attributes:
        rank: leading columns of U and of V to keep; all when None.
        energy: the share of the gradients' energy to keep columns for; all when None.
        normalize: "frobenius" scales every gradient to norm 1; "none" is the paper's way.
    """

    rank: Annotated[int, Field(ge=1, le=MAX_EXTENT)] | None = None
    energy: Annotated[float, Field(gt=0, le=1)] | None = None
    normalize: Normalization = "none"

    @model_validator(mode="after")
    def _one_truncation(self) -> HosvdOptions:
        if self.rank is not None and self.energy is not None:
            raise ValueError("give rank or energy, not both: each says where to cut the basis")
        return self


class CalibrationManifest(Model):
    """What a client says before it sends gradients.

    Attributes:
        name: the name that the basis will be published under.
        model: where the gradients come from.
        dataset: the data that they come from.
        groups: the groups, each name once.
        options: how the basis is computed.
        tags: words that the version will be found by.
        ttl_seconds: seconds after which the gradients may go; the server's default when None.
            The basis stays.
    """

    name: QualifiedName = Field(examples=["team/minilm-cola"])
    model: ModelSource
    dataset: DatasetSource
    groups: Annotated[Several[GroupSpec], Field(min_length=1, max_length=MAX_GROUPS)]
    options: HosvdOptions = HosvdOptions()
    tags: Annotated[Several[Segment], Field(max_length=MAX_TAGS)] = ()
    ttl_seconds: Annotated[float, Field(gt=0, le=MAX_TTL_SECONDS)] | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> CalibrationManifest:
        groups = [group.name for group in self.groups]
        layers = [layer for group in self.groups for layer in group.layers]
        for what, names in (("group", groups), ("layer", layers)):
            twice = [name for name, times in Counter(names).items() if times > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is named more than once")
        return self


class Limits(Answer):
    """What the server takes."""

    gradient_bytes: int = Field(description="bytes of one gradient's body")
    calibration_gradients: int = Field(description="slots of one calibration")
    concurrent_uploads: int
    body_seconds: float = Field(description="time for one body to arrive")


class Estimate(Answer):
    """What a calibration will take on the server."""

    disk_bytes: int
    memory_bytes: int
    seconds: float = Field(description="from the finish to the published basis")


class CalibrationCreated(Answer):
    """The answer to a new calibration."""

    id: Segment
    limits: Limits
    estimate: Estimate


class GroupArrivals(Answer):
    """What has arrived of one group.

    Attributes:
        name: the group's name.
        expected: slots in all.
        arrived: indices that are stored, rising.
        zero: how many of them are zero throughout.
    """

    name: Segment
    expected: int
    arrived: tuple[int, ...]
    zero: int


class CalibrationSummary(Answer):
    """A calibration in a list.

    Attributes:
        id: its id.
        name: what its basis is published as.
        state: open: it takes gradients; finished: its basis is computed or being computed;
            expired: its gradients are gone, or go at the next clearing up.
        created: when it was opened.
        created_by: the name of the token that opened it.
        expires: when its gradients may go; never when None.
        job: the job that `finish` started.
    """

    id: Segment
    name: QualifiedName
    state: CalibrationState
    created: datetime
    created_by: str = ""
    expires: datetime | None = None
    job: Segment | None = None


class CalibrationList(Answer):
    """A page of calibrations; newest first."""

    calibrations: tuple[CalibrationSummary, ...]
    next: str | None = Field(default=None, description="`after` of the next page, if there is one")


class CalibrationStatus(CalibrationSummary):
    """A calibration's present state; a client that was cut off sends what is missing."""

    groups: tuple[GroupArrivals, ...]


class GradientStored(Answer):
    """The answer to a gradient that is on disk."""

    group: Segment
    index: int
    digest: str
    form: GradientForm
    zero: bool

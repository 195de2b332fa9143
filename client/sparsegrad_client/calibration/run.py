"""A calibration against a service, once it is planned: open, collect and send, publish.

With several ranks the first one alone opens and finishes it; all send, and all wait for the job
by themselves, since a job may take longer than a collective may wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from sparsegrad_shared.calibrations import CalibrationManifest, CalibrationStatus, Normalization
from sparsegrad_shared.errors import CalibrationClosed, InvalidInput, JobFailed
from sparsegrad_shared.jobs import JobStatus
from sparsegrad_shared.progress import Part

from ..connection import open_service
from ..embedded import embedded_server
from ..service import BasisService, ServiceConfig
from .batches import Batch
from .collector import collecting
from .frames import Send
from .plan import Plan
from .ranks import Ranks
from .upload import Uploader

Progress = Callable[[str, int, int], None]

COLLECTING = "collecting gradients"
UPLOADING = "uploading gradients"
WAITING = Part("uploading as fast as the server can", UPLOADING)
COMPUTING = "computing the basis"


def open_together(ranks: Ranks, server: str | None, token: str | None) -> BasisService:
    """Connect every rank to the same service.

    A server that is named is reached by each rank with its own token. The embedded one is the
    first rank's, so all ranks have to be on its machine; its token, of no use elsewhere, is told
    to them.

    Raises:
        RankFailed: when the first rank found no server.
        ServerUnreachable: when a rank does not find it.
    """

    def resolve() -> str:
        config = ServiceConfig.resolve(server, token)
        if config is not None:
            return json.dumps([config.url, None])
        embedded = embedded_server().config
        return json.dumps([embedded.url, embedded.token])

    if ranks.count == 1:
        return open_service(server, token)
    url, embedded_token = json.loads(ranks.first(resolve))
    return open_service(url, embedded_token or token)


@dataclass(frozen=True, eq=False)
class Run:
    """A planned calibration on this rank.

    Attributes:
        service: where to.
        model: the model.
        plan: what to collect.
        batches: this rank's batches, one a step.
        ranks: the processes that calibrate together.
        progress: called with a phase, how much of it is done, and how much there is.
    """

    service: BasisService
    model: nn.Module
    plan: Plan
    batches: list[Batch]
    ranks: Ranks
    progress: Progress

    def open(self, manifest: CalibrationManifest, resume: str | None) -> CalibrationStatus:
        """Open a calibration, or take up the one that `resume` names.

        Raises:
            InvalidInput: when that one is of another name.
            CalibrationClosed: when it has expired before it was finished.
            Conflict: when it is of another plan.
        """

        def status() -> str:
            calibration = resume or self.service.create_calibration(manifest).id
            return self.service.calibration_status(calibration).model_dump_json()

        opened = CalibrationStatus.model_validate_json(self.ranks.first(status))
        if opened.name != manifest.name:
            raise InvalidInput(
                f"calibration {opened.id} is of {opened.name}, not of {manifest.name}; give the "
                "name that it was started with"
            )
        if opened.state == "expired" and opened.job is None:
            raise CalibrationClosed(
                f"calibration {opened.id} has expired, and its gradients are not kept any longer; "
                "start anew, without resume"
            )
        self.plan.missing(opened)  # refuses another plan before anything is computed
        return opened

    def collect(
        self,
        calibration: CalibrationStatus,
        *,
        lr: float,
        head_lr: float,
        send: Send,
        normalize: Normalization,
    ) -> None:
        """Train, and send what has not arrived yet."""
        missing = self.plan.missing(calibration)
        if not missing:
            return
        own = missing & self.plan.own().keys()
        steps = self.plan.last_step(missing) + 1
        with Uploader(self.service, calibration.id) as uploader:
            with collecting(
                self.model,
                self.plan,
                lr=lr,
                send=send,
                wanted=lambda group, index: (group, index) in own,
                emit=uploader.put,
                head_lr=head_lr,
                normalize=normalize,
                ranks=self.ranks,
            ) as collector:
                for step in range(steps):
                    with self.ranks.agreed():
                        self.progress(COLLECTING, step, steps)
                        collector.step(self.batches[step])
                    collector.update()
            with self.ranks.agreed():
                self.progress(COLLECTING, steps, steps)
                uploader.drain(
                    lambda sent, sent_away: self.progress(
                        WAITING if sent_away else UPLOADING, sent, len(own)
                    )
                )

    def finish(self, calibration: str) -> JobStatus:
        """Take no more gradients, and have the basis computed."""
        return JobStatus.model_validate_json(
            self.ranks.first(lambda: self.service.finish(calibration).model_dump_json())
        )

    def await_basis(self, job: JobStatus) -> str:
        """Wait for the job; returns the reference of the version that it published.

        Raises:
            JobFailed: when it ended without one.
        """
        for status in self.service.watch_job(job.id):
            job = status
            self.progress(Part(job.phase, COMPUTING), job.completed, job.total)
        if job.basis is None:
            reason = job.error.detail if job.error else "it gave no reason"
            raise JobFailed(f"job {job.id} failed: {reason}")
        return str(job.basis)

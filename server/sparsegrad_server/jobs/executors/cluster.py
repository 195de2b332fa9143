"""The connection to a Dask cluster: mutual TLS, and what it means that it is lost.

Dask sends tasks as pickles, and a pickle runs code where it is read. So whoever may connect may run
code on every machine of the cluster. Nothing but the certificates keeps strangers out: both sides
of every connection must show one that the cluster's own authority has signed, and a connection
without encryption is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from distributed import Client, Future
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.security import Security

from sparsegrad_shared.errors import JobFailed

from ...settings import Settings
from ..gradients import Steps
from ..work import Interrupted
from .security import certificates

CONNECT_SECONDS = 10.0
LOOK_SECONDS = 0.5  # between two looks whether the job shall stop
TRANSFER_SECONDS = 1800.0  # for one result to come from a worker that does not answer

Result = TypeVar("Result")


class ClusterLost(Interrupted):
    """The scheduler, or what it kept, is gone: begin again from the rows."""


def connect(settings: Settings) -> Client:
    """A client of the cluster.

    Raises:
        ClusterLost: when the scheduler cannot be reached, or refuses our certificate.
        InvalidInput: when a certificate is not named, or is not there.
    """
    authority, certificate, key = certificates(settings)
    security = Security(
        tls_ca_file=authority,
        tls_client_cert=certificate,
        tls_client_key=key,
        require_encryption=True,
    )
    with _lost_when_away():
        return Client(
            settings.dask_scheduler,
            security=security,
            timeout=CONNECT_SECONDS,
            set_as_default=False,
            direct_to_workers=True,
        )


def disconnect(client: Client) -> None:
    """Close a client, whatever state its cluster is in."""
    with suppress(TimeoutError, OSError):
        client.close(timeout=CONNECT_SECONDS)


def least_memory(client: Client) -> int | None:
    """Bytes that the smallest worker may use; None while there are no workers.

    Raises:
        ClusterLost: when the scheduler does not answer.
    """
    with _lost_when_away():
        workers = client.scheduler_info()["workers"].values()
        return min((int(worker["memory_limit"]) for worker in workers), default=None)


def submit(client: Client, task: Callable[..., Result], *arguments: object) -> Future[Result]:
    """Have a worker do a task.

    Raises:
        ClusterLost: when the scheduler is gone.
    """
    with _lost_when_away():
        return client.submit(task, *arguments, pure=False)


def send(client: Client, data: Result) -> Future[Result]:
    """Bring data to a worker.

    Raises:
        ClusterLost: when the workers are gone.
    """
    with _lost_when_away():
        future: Future[Result] = client.scatter(data, hash=False)
        return future


def wait_for(future: Future[Any], steps: Steps, phase: str, completed: int, total: int) -> None:
    """Wait for a task, telling how far we are.

    Raises:
        ClusterLost: when the scheduler is gone, or what the task was given.
        JobFailed: when every worker that took it died.
        Exception: what the task raised, what `steps` raises.
    """
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())
    steps.step(phase, completed, total)
    while not ended.wait(LOOK_SECONDS):
        if future.client.status == "closed":  # it gave up coming back to the scheduler
            raise ClusterLost("the connection to the scheduler is closed")
        steps.step(phase, completed, total)
    if future.status == "error":
        _raise(future, phase)


def result_of(
    future: Future[Result], steps: Steps, phase: str, completed: int, total: int
) -> Result:
    """Wait for a task and fetch what it gave; raises as `wait_for` does."""
    wait_for(future, steps, phase, completed, total)
    with _lost_when_away():
        return future.result(timeout=TRANSFER_SECONDS)


def _raise(future: Future[Any], phase: str) -> None:
    error = future.exception()
    if isinstance(error, KilledWorker):
        raise JobFailed(
            f"while {phase}: {error.allowed_failures + 1} Dask workers died of it, perhaps for "
            "want of memory; see their logs, then finish the calibration again"
        ) from None
    if error is not None:
        raise error


@contextmanager
def _lost_when_away() -> Iterator[None]:
    try:
        yield
    except (CancelledError, CommClosedError, ClosedClientError, TimeoutError, OSError) as error:
        raise ClusterLost(f"{type(error).__name__}: {error}") from error

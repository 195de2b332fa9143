"""The worker: takes jobs from the queue, one at a time, and keeps their leases alive."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from threadpoolctl import threadpool_limits

from sparsegrad_shared.errors import Problem, ServerFault, SparseGradError

from .. import context
from ..catalog import Catalog
from ..settings import Settings
from ..store.bases import BasisStore
from ..store.gradients import GradientStore
from ..telemetry.traces import JobTraces
from . import queue
from .accumulate import accumulate
from .executors import executor_of
from .publish import publish
from .queue import JobKind, Lease, LeaseLost
from .work import Monitor, Stopped, Work

HEARTBEATS = 3  # a lease: one or two may be late before it is lost

_RUN: Mapping[JobKind, Callable[[Work], None]] = {"accumulate": accumulate, "publish": publish}
_log = logging.getLogger(__name__)


class Worker:
    """One worker over one catalog.

    Args:
        catalog: where the jobs are.
        gradients: what they are computed from.
        bases: where the results go.
        settings: how long leases hold, how often to look, how many threads to use.
    """

    def __init__(
        self,
        catalog: Catalog,
        gradients: GradientStore,
        bases: BasisStore,
        settings: Settings,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._catalog = catalog
        self._gradients = gradients
        self._bases = bases
        self._settings = settings
        self._executor = executor_of(settings)
        self._traces = JobTraces(settings)
        self._lease: Lease | None = None

    def run(self, stop: threading.Event) -> None:
        """Do jobs until `stop` is set."""
        try:
            with threadpool_limits(self._settings.worker_threads):
                while not stop.is_set():
                    if not self._work_if_possible(stop):
                        stop.wait(self._settings.poll_seconds)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what the executor holds open; it is opened again when there is work."""
        self._executor.close()
        self._traces.flush()

    def _work_if_possible(self, stop: threading.Event) -> bool:
        try:
            return self.work_once(stop)
        except SQLAlchemyError:
            _log.exception("the catalog cannot be used at the moment")
            return False

    def work_once(self, stop: threading.Event) -> bool:
        """Do one job, if there is one; answers whether there was."""
        with self._catalog.writing() as session:
            self._lease = queue.claim(session, self.name, datetime.now(UTC), self._duration)
        if self._lease is None:
            return False
        lease = self._lease
        with (
            context.working_on(lease.job_id),
            self._traces.job(lease.kind, lease.job_id, lease.calibration_id) as phases,
        ):
            self._work_on(lease, Monitor(self._catalog, lease, stop, phases.enter))
        self._lease = None
        return True

    def _work_on(self, lease: Lease, monitor: Monitor) -> None:
        work = Work(
            lease,
            self._catalog,
            self._gradients,
            self._bases,
            self._settings,
            monitor,
            self._executor,
        )
        try:
            with self._heartbeat(lease, monitor):
                self._do(work)
        except LeaseLost as lost:
            _log.warning("%s", lost)

    def abandon(self) -> None:
        """Give back the job that `run` is at, from another thread, without waiting for it."""
        if (lease := self._lease) is None:
            return
        try:
            with self._catalog.writing() as session:
                queue.release(session, lease, datetime.now(UTC))
        except LeaseLost:
            return  # it ended in this very moment
        except SQLAlchemyError:
            _log.exception("the job could not be given back; its lease will run out")

    @property
    def _duration(self) -> timedelta:
        return timedelta(seconds=self._settings.lease_seconds)

    def _do(self, work: Work) -> None:
        lease = work.lease
        try:
            _RUN[lease.kind](work)
        except Stopped:
            work.write(lambda session: queue.release(session, lease, datetime.now(UTC)))
        except LeaseLost:
            raise
        except SparseGradError as error:
            problem = error.to_problem()
            work.write(lambda session: queue.fail(session, lease, problem, datetime.now(UTC)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not hang
            _log.exception("job %s: an error that may pass", lease.job_id)
            passing = _passing(error)
            work.write(lambda session: queue.retry(session, lease, passing, datetime.now(UTC)))

    @contextmanager
    def _heartbeat(self, lease: Lease, monitor: Monitor) -> Iterator[None]:
        ended = threading.Event()
        beat = partial(copy_context().run, self._beat, lease, monitor, ended)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, lease: Lease, monitor: Monitor, ended: threading.Event) -> None:
        while not ended.wait(self._settings.lease_seconds / HEARTBEATS):
            try:
                with self._catalog.writing() as session:
                    queue.extend(session, lease, datetime.now(UTC), self._duration)
            except LeaseLost:
                monitor.lose()
                return
            except SQLAlchemyError:
                _log.exception("a heartbeat could not be written")


def _passing(error: Exception) -> Problem:
    """An error as people may see it: its kind and the system's words, no paths, no values."""
    words = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    message = f"{type(error).__name__}{words}; the worker's log has the rest"
    return ServerFault(message).to_problem()

"""Where a job's sums, eigenproblems and report are computed; what they are is in `hosvd`.

An executor computes groups. The job itself, its lease and the publication stay with the worker,
and its truth is a row: so an executor may die at any moment, and the next attempt goes on from the
partial sums on disk.

=========  =============================================================================
`local`    in the worker's process, groups side by side where that pays
`dask`     on the workers of a Dask cluster, over mutual TLS
=========  =============================================================================

The same gradients give the same digest by one executor, whatever was interrupted; two executors
add in another order, and give the same subspaces to 1e-6.
"""

from __future__ import annotations

from sparsegrad_shared.errors import MissingExtra

from ...settings import Settings
from .base import Executor, GroupResult
from .local import LocalExecutor

__all__ = ["Executor", "GroupResult", "LocalExecutor", "executor_of"]


def executor_of(settings: Settings) -> Executor:
    """The executor that the settings name.

    Raises:
        MissingExtra: when Dask is not installed; says what to install.
    """
    if settings.executor == "local":
        return LocalExecutor()
    try:
        from .dask import DaskExecutor
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"executor dask needs {error.name}: pip install 'sparsegrad-peft[cluster]'"
        ) from None
    return DaskExecutor(settings)

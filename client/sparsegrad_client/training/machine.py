"""What a training runs on, and how much memory it takes."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from .record import Machine, Memory

_LIBRARIES = ("sparsegrad-peft", "torch", "transformers", "datasets", "numpy", "safetensors")


def this_machine(device: torch.device) -> Machine:
    """This machine, for a training on `device`."""
    return Machine(
        device=_device_name(device),
        processor=platform.machine() or "unknown",
        cores=_cores(),
        memory=_main_memory(),
        system=f"{platform.system()} {platform.release()}",
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:  # run from the sources
            continue
    return found


def peak_memory(device: torch.device) -> Memory:
    """The highest memory use so far."""
    on_device = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Memory(process=_peak_of_process(), device=on_device)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _main_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def _peak_of_process() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # elsewhere it is in KiB

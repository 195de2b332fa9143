"""Settings that all of the client's tests share."""

from __future__ import annotations

from hypothesis import settings

# Timings are for benchmarks: the first example may load a library, and the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

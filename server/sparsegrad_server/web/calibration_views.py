"""A calibration in words and bars: pure, from what was seen of it."""

from __future__ import annotations

from ..catalog.arrivals import Arrivals
from ..live.calibrations import CalibrationSeen
from .live import Live
from .words import duration, number, plural, size

WAITING, CURRENT, DONE, FAILED = "waiting", "current", "done", "failed"
STATES = {WAITING: "not yet", CURRENT: "now", DONE: "done", FAILED: "failed"}
STEPS = ("arrive", "compute", "publish")
_PUBLISHING = "publishing"


def live(seen: CalibrationSeen) -> Live:
    """What the page of a calibration shows of it."""
    states = _states(seen)
    texts = {
        "state": seen.state,
        "arrive": _arrive(seen),
        "compute": _compute(seen),
        "publish": _publish(seen),
        "rate": f"In the last minute: {rate}." if (rate := _rate(seen)) else "",
        "total": f"{number(seen.stored)} of {number(seen.expected)}",
        "bytes": size(seen.bytes),
    }
    bars: dict[str, tuple[int, int] | None] = {"arrive": (seen.stored, seen.expected)}
    bars["compute"] = _computed(seen)
    for place, group in enumerate(seen.groups):
        texts |= _group(place, group)
        bars[f"group-{place}"] = (group.stored, group.expected)
    texts |= {f"{step}-state": STATES[states[step]] for step in STEPS}
    basis = None if seen.job is None else seen.job.basis
    return Live(
        texts=texts,
        bars=bars,
        states={**states, "calibration": seen.state},
        shown={
            "basis": basis is not None,
            "error": states["compute"] == FAILED or states["publish"] == FAILED,
            "compute-bar": states["compute"] == CURRENT,
            "job": seen.job is not None,
            "resume": seen.state == "open",
        },
        links={
            "job": "" if seen.job is None else f"/jobs/{seen.job.id}",
            "basis": "" if basis is None else f"/bases/{basis.name}/{basis.version}",
        },
        line=seen.line,
        said=_said(seen, states),
    )


def _states(seen: CalibrationSeen) -> dict[str, str]:
    arrive = CURRENT if seen.state == "open" else DONE
    if seen.job is None:
        compute = WAITING
        arrive = FAILED if seen.state == "expired" else arrive
        return {"arrive": arrive, "compute": compute, "publish": WAITING}
    if seen.job.state == "done":
        return dict.fromkeys(STEPS, DONE)
    reached = FAILED if seen.job.state == "failed" else CURRENT
    if seen.job.phase == _PUBLISHING:
        return {"arrive": DONE, "compute": DONE, "publish": reached}
    return {"arrive": DONE, "compute": reached, "publish": WAITING}


def _arrive(seen: CalibrationSeen) -> str:
    words = [f"{number(seen.stored)} of {plural(seen.expected, 'gradient')}", size(seen.bytes)]
    if seen.state == "open":
        words.append(_rate(seen))
        if seen.arrival_seconds is not None:
            words.append(f"about {duration(seen.arrival_seconds)} left at this rate")
        elif seen.stored == seen.expected:
            words.append("all are here; the client finishes it")
    elif seen.state == "expired":
        words = ["the gradients are gone: their time had passed"]
    return " · ".join(word for word in words if word)


def _rate(seen: CalibrationSeen) -> str:
    if seen.state != "open" or seen.bytes_per_second is None:
        return ""
    return f"{size(round(seen.bytes_per_second))}/s"


def _compute(seen: CalibrationSeen) -> str:
    if seen.job is None:
        if seen.summing is not None and seen.summing.state == "leased":
            return f"{seen.summing.phase}, while more arrive"
        return "begins when the client finishes the calibration"
    if seen.job.state == "queued":
        if seen.ahead:
            return f"{seen.job.phase}; {plural(seen.ahead, 'job')} before it"
        return seen.job.phase
    if seen.job.error is not None:
        return seen.job.error.detail
    if seen.job.state == "done":
        return "the bases of all groups are computed and judged"
    words = [seen.job.phase]
    if seen.job.total > 1:
        words.append(f"{number(seen.job.completed)} of {number(seen.job.total)}")
    if seen.phase_seconds is not None:
        words.append(f"about {duration(seen.phase_seconds)} left of this phase")
    return " · ".join(words)


def _computed(seen: CalibrationSeen) -> tuple[int, int] | None:
    """How far the present phase is; None when it cannot be counted."""
    if seen.job is None or seen.job.total <= 1:
        return None
    return seen.job.completed, seen.job.total


def _publish(seen: CalibrationSeen) -> str:
    if seen.job is not None and seen.job.basis is not None:
        basis = seen.job.basis
        return f"{basis.name}@{basis.version}, {basis.digest}"
    return ""


def _group(place: int, group: Arrivals) -> dict[str, str]:
    zero = f"{number(group.zero)} zero" if group.zero else ""
    return {
        f"fitted-{place}": f"{number(group.fitted)} of {number(group.fitted_expected)}",
        f"held-out-{place}": f"{number(group.held_out)} of {number(group.held_out_expected)}",
        f"bytes-{place}": size(group.bytes),
        f"zero-{place}": zero,
    }


def _said(seen: CalibrationSeen, states: dict[str, str]) -> str:
    """Said when a step begins or ends; not with every gradient."""
    if seen.job is not None and seen.job.basis is not None:
        return f"The basis is published as {seen.job.basis.name}, version {seen.job.basis.version}"
    if FAILED in states.values():
        return "The calibration has failed"
    if states["publish"] == CURRENT:
        return "The basis is being published"
    if states["compute"] == CURRENT:
        return "The basis is being computed"
    return "Gradients are arriving" if seen.stored else ""

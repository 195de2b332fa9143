"""Every error: its class, the `type` of its problem, its status, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from sphinx.errors import SphinxError

import sparsegrad_shared.errors as errors
from sparsegrad_shared.errors import TYPE_PREFIX, SparseGradError, error_classes

from .markdown import code, escaped, paragraphs, table

# What only ever happens where it is raised, and so has no status.
_HERE = {
    errors.FileRefused,
    errors.Interrupted,
    errors.MissingExtra,
    errors.NotConfirmed,
    errors.RankFailed,
    errors.ServerUnreachable,
    errors.Unforeseen,
    errors.WrongBasis,
    errors.WrongUsage,
}

NEXT: Mapping[type[SparseGradError], str] = {
    errors.BodyTimeout: "Send it again over a faster line, or in a smaller form (`send='sums'`). "
    "The server's `body_seconds` says how long a body may take.",
    errors.BodyTooLarge: "Ask for less, or have the operator raise the limit that the message "
    "names (`max_gradient_bytes`, `max_request_bytes`, `max_basis_bytes`).",
    errors.CalibrationClosed: "Open a new calibration. What was published of this one stays.",
    errors.Conflict: "Look at the present state, and send what fits it.",
    errors.CorruptFile: "Put the file back from a copy, or fetch it again: what is in the client's "
    "cache is fetched anew once its folder is gone. On the server, run `sparsegrad-server check`.",
    errors.DeletedBasis: "Take another version; the number is never given out again.",
    errors.DigestMismatch: "Send it again. If it happens twice, something between the two changes "
    "bytes: a proxy, or a bad disk.",
    errors.FileRefused: "Look at who may read or write the file that the message names.",
    errors.Forbidden: "Ask for a token with the scope and the namespace that the message names. "
    "For a wrong Host header, see the setting `allowed_hosts`.",
    errors.Interrupted: "The message says how to go on, where something can be gone on with.",
    errors.InvalidInput: "The message says what was expected, what came, and where. Mend that.",
    errors.InvalidReference: "Write `team/name`, `team/name@3`, `team/name:alias` or `sha256:…`.",
    errors.InvalidTensor: "Send safetensors with the tensors that the route takes, as our client "
    "does.",
    errors.JobFailed: "The message is the job's own. Mend what it names, and finish the "
    "calibration again: the gradients are kept.",
    errors.MissingExtra: "Run the `pip install` in the message.",
    errors.NoGradients: "Send gradients first, then finish.",
    errors.NonFiniteGradient: "Look for the step in which the loss overflowed: a lower learning "
    "rate, float32, or loss scaling that is undone before the gradient is read.",
    errors.NotConfirmed: "Nothing was changed. Answer yes, or pass `--yes`.",
    errors.NotFound: "Check the name. What is in another namespace is absent too.",
    errors.Overloaded: "Come again after the seconds in `Retry-After`; our client does by itself.",
    errors.PreconditionFailed: "Somebody else was first. Look at the alias anew and decide again.",
    errors.PreconditionRequired: "Send `If-Match` with the version that the alias names now, or "
    "`If-None-Match: *` for a new one.",
    errors.QuotaExceeded: "Delete calibrations that are no longer needed, or have the operator "
    "raise `max_namespace_bytes` or `max_imports`.",
    errors.RankFailed: "Read the error of the process that failed first, and start all of them "
    "again; a calibration is resumed.",
    errors.ServerFault: "It is a fault of ours. Give the operator the `request_id`: the log has "
    "the rest under it.",
    errors.ServerUnreachable: "Check the address in `SPARSEGRAD_SERVER`, and that the server runs.",
    errors.ShapeMismatch: "Send the shape and the type that the manifest promised for the group.",
    errors.SlotBusy: "Wait: another upload is writing that index. It is free soon, whatever "
    "happens to that one.",
    errors.SlotTaken: "An index takes one gradient. Send another one at another index.",
    errors.SparseGradError: "The message says what to do.",
    errors.Stopping: "Come again: another process of the service answers, or this one after its "
    "restart. Our client does by itself.",
    errors.StorageFull: "Make room on the disk: `sparsegrad-server gc`, or a larger one.",
    errors.TruncatedBody: "Send it again; the connection ended early.",
    errors.Unauthenticated: "Set `SPARSEGRAD_TOKEN` to a token of this server. An operator makes "
    "one with `sparsegrad-server token create`.",
    errors.Unavailable: "Come again after the seconds in `Retry-After`; our client does by itself. "
    "The operator looks at the database or the storage that the message names.",
    errors.Unforeseen: "Most likely a bug of ours. `--debug` shows where it came from; please "
    "report that.",
    errors.UnknownBasis: "`sparsegrad-client bases list` shows which there are.",
    errors.UnknownCalibration: "It has been deleted, or was made on another server. Start anew.",
    errors.UnknownGroup: "The message lists the groups that there are.",
    errors.UnknownJob: "Ask for the calibration; it names its job.",
    errors.UnsupportedModel: "Name the layers by hand, with a `LayerSpec`, or load the weights in "
    "a floating-point type.",
    errors.VersionInUse: "Take the alias or the pin away first.",
    errors.WrongUsage: "`--help` of the command shows how it is called, with examples.",
    errors.WrongBasis: "Load the basis whose digest the message names.",
}


class UndescribedError(SphinxError):
    """An error class of which nothing says what to do next."""


def markdown() -> str:
    """A section for each error, by name.

    Raises:
        UndescribedError: when a class has none; `NEXT` in this module is the place.
    """
    described = sorted(error_classes().values(), key=lambda cls: cls.__name__)
    lost = [cls.__name__ for cls in described if cls not in NEXT]
    if lost:
        raise UndescribedError(f"docs/_generate/errors.py: NEXT says nothing of {', '.join(lost)}")
    return paragraphs(*map(_section, described))


def _section(cls: type[SparseGradError]) -> str:
    name = cls.type_uri().removeprefix(TYPE_PREFIX)
    facts = [("type", code(cls.type_uri())), ("class", code(cls.__name__))]
    if cls not in _HERE:
        facts.append(("status", str(cls.status)))
    if cls is not SparseGradError:
        facts.append(("is a", code(cls.__mro__[1].__name__)))
    return paragraphs(
        f"({name})=\n## {cls.title}",
        escaped(cls.__doc__ or ""),
        table(("", ""), facts),
        f"What to do: {escaped(NEXT[cls])}",
    )

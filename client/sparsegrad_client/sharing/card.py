"""The card of a basis: the `README.md` that a model hub shows, and that tells how to use it.

Everything that comes from elsewhere (names of models, data sets, layers) is quoted, so that none of
it can add to the metadata, or be anything but text on the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from sparsegrad_shared.bases import BasisManifest
from sparsegrad_shared.report import BasisReport, GroupReport, TopEntries

CARD_FILE = "README.md"

# An id that a hub links to: an owner and a name, or one of the old ones without an owner.
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|~&$])")

_TEXT = """\
{metadata}

# A basis for SparseGrad

SparseGrad fine-tunes the 1% of a model's weights that matter, in a basis in which their gradients \
are sparse. This is such a basis: for each group of linear layers, an orthonormal basis `U` of \
their inputs and `V` of their outputs. It holds no weights of the model and none of the data.

| | |
| --- | --- |
| model | {model} |
| architecture | {architecture} |
| revision | {revision} |
| data set | {dataset} |
| options | {options} |
| digest | `{digest}` |

The licence is not known to the program that wrote this card. Whoever publishes the basis says \
which it is.

## Groups

{groups}

## How good it is

Shares of the energy of gradients that the basis was not fitted on. The first column is what the \
largest entries hold in the basis, the second what they hold in the original space: the further \
apart, the better the basis.

{quality}

Columns of each basis that hold 50, 90 and 99% of the energy of the gradients that it was fitted on:

{spectrum}

## How to use it

Put the files in a folder, then, with `pip install 'sparsegrad-peft[client]'`:

```python
from pathlib import Path

from sparsegrad_client import fetch_basis

basis = fetch_basis(Path("."))  # the folder with these files
```

and train a model of this architecture:

```python
from sparsegrad_client import SparseGradConfig, build_optimizer, sparsify

model = sparsify(model, basis, SparseGradConfig(density=0.01))
optimizer = build_optimizer(model, lr=1e-3)
```

To share it on your team's server:

```sh
sparsegrad-client bases import . team/name
```

An adapter that was trained on this basis remembers its digest and fits no other. Every file is \
held to the digest that `manifest.json` has of it, each time it is read.
"""


def write_card(manifest: BasisManifest, report: BasisReport) -> str:
    """The text of a basis's card: metadata, what it is, how good it is, how to use it."""
    source = manifest.model
    options = manifest.options.model_dump(exclude_none=True)
    return _TEXT.format(
        metadata=_metadata(source.id),
        model=_quoted(source.id),
        architecture=_quoted(source.architecture),
        revision=_quoted(source.revision or "not known"),
        dataset=_quoted(manifest.dataset.id),
        options=_quoted(", ".join(f"{name} {value}" for name, value in options.items())),
        digest=manifest.digest(),
        groups=_table(
            ("group", "layers", "d_out x d_in", "rank of V", "rank of U", "gradients"),
            (
                (
                    group.name,
                    str(len(group.layers)),
                    f"{group.d_out} x {group.d_in}",
                    str(group.rank_out),
                    str(group.rank_in),
                    str(group.gradients),
                )
                for group in manifest.groups
            ),
        ),
        quality=_table(
            ("group", "density", "in the basis", "originally", "frozen support", "held out"),
            map(_quality, report.groups),
        ),
        spectrum=_table(("group", "of U", "of V"), map(_spectrum, report.groups)),
    )


def _metadata(model: str) -> str:
    lines = ["---", "library_name: sparsegrad"]
    if _HUB_ID.fullmatch(model):
        # JSON's strings are YAML's too, whatever is in them.
        lines.append(f"base_model: {json.dumps(model)}")
    return "\n".join([*lines, "license: unknown", "tags:", "- sparsegrad", "- peft", "---"])


def _quality(group: GroupReport) -> tuple[str, ...]:
    return (
        group.name,
        f"{group.density:.2%}",
        _share(group.basis),
        _share(group.original),
        "-" if group.frozen_support is None else f"{group.frozen_support:.1%}",
        f"{group.held_out} gradients",
    )


def _share(top: TopEntries | None) -> str:
    return "-" if top is None else f"{top.energy:.1%}"


def _spectrum(group: GroupReport) -> tuple[str, ...]:
    ranks = (
        f"{spectrum.rank_50}, {spectrum.rank_90}, {spectrum.rank_99}"
        for spectrum in (group.spectrum_in, group.spectrum_out)
    )
    return (group.name, *ranks)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_quoted(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _quoted(text: str) -> str:
    """A text on one line that is nothing but text, whatever it holds."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _MARKUP.sub(r"\\\1", printable)

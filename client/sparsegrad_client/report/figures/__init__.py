"""Pictures of bases and of trainings: functions from data to matplotlib figures.

Nothing here writes a file or needs a display: each function gives a `Figure`, which `rendering`
turns into bytes, and a notebook shows as it is. Whoever imports this package imports matplotlib.

=================  =========================================================================
`energy_map`       a gradient before and after the change of basis: the paper's figure 1
`touched_entries`  the rows and columns that its largest entries touch: the paper's figure 3
`spectra`          how fast the eigenvalues of a group fall, and what the leading ones hold
`energy_by_group`  the energy in the largest entries, of every group of a basis
`losses`           loss and metric of a training
`learning_rates`   its learning rates
`touched_so_far`   the entries that its steps changed
`fit`              how well its gradients fitted the basis
`machine`          its speed and memory
=================  =========================================================================
"""

from .bases import energy_by_group, spectra
from .fitting import fit
from .gradients import energy_map, touched_entries
from .rendering import png, svg
from .trainings import learning_rates, losses, machine, touched_so_far

__all__ = [
    "energy_by_group",
    "energy_map",
    "fit",
    "learning_rates",
    "losses",
    "machine",
    "png",
    "spectra",
    "svg",
    "touched_entries",
    "touched_so_far",
]

"""The application: its subcommands, and the options of the program as a whole."""

from __future__ import annotations

import os

from sparsegrad_shared.terminal.commands import Commands, exit_codes, version_option
from sparsegrad_shared.terminal.running import run

from . import adapters, bases, calibrate, dashboard, quickstart, train

PROGRAM = "sparsegrad-client"
# Top-level modules that the extra `client` brings.
_CLIENT_MODULES = (
    "datasets", "httpx", "httpx_sse", "jaxtyping", "matplotlib", "numpy", "platformdirs",
    "safetensors", "sklearn", "torch", "transformers",
)  # fmt: skip


app = Commands(
    name=PROGRAM,
    help="Fine-tune models by updating the 1% of weights that matter, in a basis your team shares.",
    epilog=f"First time here? Run: sparsegrad-client quickstart\n\n{exit_codes()}",
    options=[version_option(PROGRAM)],
)
app.command("calibrate")(calibrate.calibrate)
app.command("train")(train.train)
app.add_typer(bases.app, name="bases")
app.add_typer(adapters.app, name="adapters")
app.command("dashboard")(dashboard.dashboard)
app.command("quickstart")(quickstart.quickstart)


def run_client() -> None:
    """Run the command line and end the process."""
    # PyTorch's threads wait for one another by spinning unless told otherwise before it loads, and
    # the embedded server works beside them: with one of two cores busy, a MiniLM step took 2.0 s
    # spinning and 0.5 s so; on idle cores 0.25 and 0.27.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run(app, PROGRAM, dict.fromkeys(_CLIENT_MODULES, "client"))

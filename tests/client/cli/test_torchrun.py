"""`sparsegrad-client calibrate`, started as two processes by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.servers import RunningServer

from sparsegrad_client import BasisService

STEPS, HELD_OUT, LAYERS, RANKS = 3, 1, 2, 2
# What torchrun starts: the command's own script, wherever the environment has it.
COMMAND = Path(sys.executable).with_name("sparsegrad-client")


def test_processes_calibrate_on_rows_of_their_own_and_one_reports(
    team_server: RunningServer, client_home: Path, tmp_path: Path, tiny_folder: Path
) -> None:
    rows = [("A fine film.", "good"), ("Dull from start to end.", "bad")] * 40
    data = tmp_path / "films.tsv"
    data.write_text("text\tverdict\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    name = "team/films-by-two"
    what = ["-m", str(tiny_folder), "-d", str(data), "--label-column", "verdict", "--name", name]
    how = [
        "--steps",
        str(STEPS),
        "--held-out",
        str(HELD_OUT),
        "--batch-size",
        "4",
        "--send",
        "sums",
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    done = subprocess.run(
        [*torchrun, f"--nproc-per-node={RANKS}", str(COMMAND), "calibrate", *what, *how],
        env=os.environ
        | {
            "SPARSEGRAD_SERVER": team_server.url,
            "SPARSEGRAD_TOKEN": team_server.token,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"basis   {name}@1") == 1
    with BasisService(team_server.url, team_server.token) as service:
        version = service.resolve(name)
    assert {(group.gradients, group.held_out) for group in version.manifest.groups} == {
        (RANKS * STEPS * LAYERS, RANKS * HELD_OUT * LAYERS)
    }

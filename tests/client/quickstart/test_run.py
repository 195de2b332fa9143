"""The quickstart itself, smaller: MiniLM, the embedded server, and every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsegrad_client.quickstart.run import Sizes, run
from sparsegrad_client.quickstart.topics import PARTS
from sparsegrad_client.report.quickstart import energy_rows, next_steps, time_rows
from sparsegrad_client.report.training import outcome_rows


@pytest.mark.usefixtures("client_home")
def test_it_calibrates_trains_saves_and_loads_again(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    done = run(
        tmp_path / "out",
        seed=0,
        progress=lambda *event: told.append(event),
        sizes=Sizes(trained=16, held_out=8, steps=3, held_out_steps=1, epochs=2),
    )
    assert (done.classes, done.examples, done.held_out) == (len(PARTS), 96, 48)
    assert done.outcome.after.loss < done.outcome.before.loss
    assert done.loaded_difference < 1e-5
    assert done.basis.reference == "local/minilm-python-reference@1"
    assert (tmp_path / "out" / "adapter" / "adapter.safetensors").is_file()

    assert [row[0].split()[0] for row in energy_rows(done)] == ["intermediate", "output"]
    for group in done.report.groups:
        assert group.basis is not None
        assert group.original is not None
        assert group.basis.energy > group.original.energy
    labels = [row[0] for row in outcome_rows(done.outcome, "accuracy")]
    assert labels[:2] == ["evaluation loss", "accuracy"]
    assert time_rows(done)[-1][0] == "in all"
    assert str(done.basis) in next_steps(done, tmp_path)[0][0]

    phases = {phase for phase, _, _ in told}
    assert {"collecting gradients", "training", "evaluating after"} <= phases
    assert all(0 <= completed <= total for _, completed, total in told)

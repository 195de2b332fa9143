"""What a manifest of a calibration accepts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sparsegrad_shared.calibrations import CalibrationManifest, HosvdOptions

GROUP: dict[str, Any] = {
    "name": "up",
    "layers": ["model.layers.0.mlp.up_proj"],
    "d_out": 8,
    "d_in": 4,
    "dtype": "float32",
    "gradients": 30,
    "held_out": 3,
}
MANIFEST: dict[str, Any] = {
    "name": "team/tiny",
    "model": {"id": "tiny", "architecture": "LlamaForCausalLM"},
    "dataset": {"id": "text", "fingerprint": "sha256:0"},
    "groups": [GROUP],
}


def test_a_group_has_its_fitted_and_its_held_out_slots() -> None:
    manifest = CalibrationManifest.model_validate(MANIFEST)
    assert manifest.groups[0].slots == 33


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "no-namespace"}, "name"),
        ({"name": "../team"}, "name"),
        ({"groups": []}, "groups"),
        ({"groups": [GROUP, GROUP]}, "group 'up' is named more than once"),
        ({"groups": [GROUP, GROUP | {"name": "down"}]}, "layer .* is named more than once"),
        ({"groups": [GROUP | {"name": "../up"}]}, "name"),
        ({"groups": [GROUP | {"d_in": 0}]}, "d_in"),
        ({"groups": [GROUP | {"dtype": "int8"}]}, "dtype"),
        ({"groups": [GROUP | {"gradients": 0}]}, "gradients"),
        ({"options": {"rank": 8, "energy": 0.9}}, "rank or energy, not both"),
        ({"options": {"energy": 1.5}}, "energy"),
        ({"colour": "green"}, "colour"),
    ],
)
def test_a_manifest_that_cannot_be_served_is_refused_by_name(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        CalibrationManifest.model_validate(MANIFEST | change)


def test_the_papers_way_is_the_default() -> None:
    assert HosvdOptions() == HosvdOptions(rank=None, energy=None, normalize="none")

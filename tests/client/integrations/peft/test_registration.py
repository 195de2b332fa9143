"""The method among PEFT's own, and what is said where PEFT is missing."""

from __future__ import annotations

import pickle
import subprocess
import sys

import peft
from peft.utils.peft_types import PeftType

from sparsegrad_client.integrations.peft import SparseGradPeftConfig, SparseGradPeftModel
from sparsegrad_client.integrations.peft.registration import SPARSEGRAD


def test_the_method_is_a_member_like_any_other() -> None:
    assert PeftType("SPARSEGRAD") is PeftType["SPARSEGRAD"] is PeftType.SPARSEGRAD is SPARSEGRAD
    assert SPARSEGRAD in list(PeftType)
    assert isinstance(SPARSEGRAD, PeftType)
    assert pickle.loads(pickle.dumps(SPARSEGRAD)) is SPARSEGRAD  # noqa: S301  # our own bytes
    assert (SPARSEGRAD, SPARSEGRAD.value, SPARSEGRAD.name) == ("SPARSEGRAD",) * 3


def test_peft_knows_its_classes() -> None:
    assert peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[SPARSEGRAD] is SparseGradPeftConfig
    assert peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[SPARSEGRAD] is SparseGradPeftModel


def test_without_peft_the_extra_to_install_is_named() -> None:
    program = "import sys; sys.modules['peft'] = None; import sparsegrad_client.integrations.peft"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 1
    assert "MissingExtra: this needs PEFT, which is not installed" in ran.stderr
    assert "pip install 'sparsegrad-peft[peft]'" in ran.stderr

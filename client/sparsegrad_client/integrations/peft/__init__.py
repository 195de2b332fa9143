"""SparseGrad as a PEFT method: importing this module registers it.

::

    from peft import PeftModel, get_peft_model
    from sparsegrad_client.integrations.peft import SparseGradPeftConfig

    model = get_peft_model(model, SparseGradPeftConfig(basis="team/minilm-cola@3"))
    ...                                     # train with any optimizer
    model.save_pretrained("cola")
    model = PeftModel.from_pretrained(plain_model, "cola")

An adapter saved so is loaded by `PeftModel.from_pretrained` wherever this module was imported.
"""

from __future__ import annotations

from sparsegrad_shared.errors import MissingExtra

try:
    from peft.tuners.tuners_utils import BaseTuner
except ImportError as error:
    raise MissingExtra(
        "this needs PEFT, which is not installed: pip install 'sparsegrad-peft[peft]'"
    ) from error

if not hasattr(BaseTuner, "_get_adapter_state_dict"):
    raise MissingExtra(
        "this needs PEFT 0.21 or later: pip install --upgrade 'sparsegrad-peft[peft]'"
    )

from .config import SparseGradPeftConfig
from .conversion import from_adapter, to_adapter
from .layer import SparseGradPeftLayer
from .model import SparseGradPeftModel
from .registration import register

__all__ = [
    "SparseGradPeftConfig",
    "SparseGradPeftLayer",
    "SparseGradPeftModel",
    "from_adapter",
    "to_adapter",
]

register(SparseGradPeftConfig, SparseGradPeftModel)

"""A method that PEFT does not know, entered where it keeps those that it knows.

PEFT names its methods by an enumeration, which has no way in. A member is a text of the class
`PeftType` that stands in the enumeration's maps, so such a text is made and entered by hand.
"""

from __future__ import annotations

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType

_NAME = "SPARSEGRAD"
PREFIX = "sparsegrad_"  # of every attribute that an adapter adds to a layer


def _enter(name: str) -> PeftType:
    if name in PeftType.__members__:
        return PeftType[name]
    member = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    setattr(PeftType, name, member)  # before the maps know it: after that, no attribute may be set
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    return member


SPARSEGRAD = _enter(_NAME)


def register(config: type[PeftConfig], tuner: type[BaseTuner]) -> None:
    """Tell PEFT which classes belong to the method."""
    register_peft_method(name=_NAME.lower(), config_cls=config, model_cls=tuner, prefix=PREFIX)

"""From a model with LoRA matrices, which PEFT wraps, to the transformers model inside."""

from typing import Any

from peft import PeftModel
from torch import nn


def base_model(model: nn.Module) -> Any:
    """The transformers model itself, whether or not PEFT is around it. LoRA matrices stay in force.

    The type is Any, because the attributes of transformers' models are not known before one is loaded.
    """
    return model.get_base_model() if isinstance(model, PeftModel) else model

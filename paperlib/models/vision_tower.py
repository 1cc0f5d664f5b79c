"""EfficientNet-Lite0 as a Hugging Face vision tower, for use in a stock LLaVA.

The network's code is the package ``efficientnet-lite-pytorch``; this file only reads two of its feature maps as a
sequence of image tokens and registers the result with ``AutoConfig`` and ``AutoModel``.
"""

from typing import Any

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

# Of the 16 blocks of EfficientNet-Lite0, the last at stride 16 (112 channels) and the last of all (320, stride 32).
STRIDE_16_BLOCK, STRIDE_16_CHANNELS, STRIDE_32_CHANNELS = 10, 112, 320


class EfficientNetLiteConfig(PreTrainedConfig):
    """One token per 32 x 32 pixels; ``hidden_size`` is 4 x 112 + 320 = 768."""

    model_type = "efficientnet_lite"
    variant: str = "efficientnet-lite0"
    image_size: int = 128
    patch_size: int = 32
    hidden_size: int = 4 * STRIDE_16_CHANNELS + STRIDE_32_CHANNELS


class EfficientNetLiteModel(PreTrainedModel):
    """Pixels [B, 3, S, S] to feature vectors [B, (S / 32)^2, 768], row by row.

    Each joins the 2 x 2 stride-16 features that it covers (4 x 112 channels) and the stride-32 feature (320). The tower
    is frozen throughout the study and always runs in evaluation mode.
    """

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    _no_split_modules = ["MBConvBlock"]  # noqa: RUF012 (the form that transformers reads)

    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__(config)
        self.encoder = EfficientNet.from_name(config.variant, image_size=config.image_size)
        # The classification head is not part of the tower.
        for unused in ("_conv_head", "_bn1", "_fc"):
            delattr(self.encoder, unused)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Weights are those of the package: random from its constructor, or loaded; never re-initialised here."""

    def train(self, mode: bool = True) -> "EfficientNetLiteModel":
        """Stay in evaluation mode whatever is asked: batch statistics must remain those of ImageNet."""
        return super().train(False)

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutput:
        """Pixels [B, 3, S, S] -> ``last_hidden_state`` [B, (S / 32)^2, 768]."""
        encoder = self.encoder
        x = pixel_values.contiguous(memory_format=torch.channels_last)  # about twice as fast on a CPU
        x = encoder._swish(encoder._bn0(encoder._conv_stem(x)))
        for i, block in enumerate(encoder._blocks):
            x = block(x)
            if i == STRIDE_16_BLOCK:
                fine = F.pixel_unshuffle(x, 2)  # [B, 448, S/32, S/32]
        tokens = torch.cat([fine, x], dim=1).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)

"""Feature pyramid (Lin et al., CVPR 2017, arXiv 1612.03144): P2 to P5, and P6 for the RPN."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from lvistk.config.model import FpnSettings
from lvistk.models.norm_layer import norm_layer


class FeaturePyramid(FeaturePyramidNetwork):
    """torchvision's pyramid (its parameters and names) that takes and gives lists, and adds in place."""

    def __init__(self, in_channels: Sequence[int], settings: FpnSettings) -> None:
        norm = None if settings.norm == "none" else norm_layer(settings.norm)
        super().__init__(list(in_channels), settings.channels, norm_layer=norm)
        self.channels = settings.channels

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """features: C2 to C5, finest first. Returns P2 to P6, each (B, channels, H, W)."""
        inner = self.inner_blocks[-1](features[-1])
        outputs = [self.layer_blocks[-1](inner)]
        for level in range(len(features) - 2, -1, -1):
            lateral = self.inner_blocks[level](features[level])
            lateral += F.interpolate(inner, size=lateral.shape[-2:], mode="nearest")
            inner = lateral
            outputs.insert(0, self.layer_blocks[level](inner))
        outputs.append(outputs[-1][:, :, ::2, ::2])  # P6: max-pooling of kernel 1 and stride 2
        return outputs

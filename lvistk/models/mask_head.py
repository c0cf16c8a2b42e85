"""The mask head of one cascade stage (Mask R-CNN; HTC, arXiv 1901.07518)."""

from torch import Tensor, nn

from lvistk.config.model import MaskHeadSettings
from lvistk.models.conv_init import identity_conv, relu_conv
from lvistk.models.gathered_conv import GatheredConv2d
from lvistk.models.upsampled_prediction import upsampled_logits


class MaskHead(nn.Module):
    """3x3 convolutions, a 2x upsampling and a predictor of the RoI's own category.

    num_categories: 1 for a class-agnostic head. takes_flow: the features of the stage before are added
    to the pooled ones through a 1x1 convolution (HTC's mask information flow).
    """

    def __init__(
        self, channels: int, settings: MaskHeadSettings, *, num_categories: int, takes_flow: bool
    ) -> None:
        super().__init__()
        width = settings.channels
        self.flow = relu_conv(width, channels, kernel_size=1) if takes_flow else None
        self.convs = nn.ModuleList(
            relu_conv(channels if index == 0 else width, width) for index in range(settings.convs)
        )
        self.extra_convs = nn.ModuleList(identity_conv(width) for _ in range(settings.extra_convs))
        self.deconv = nn.ConvTranspose2d(width, width, 2, 2)
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.deconv.bias)  # pyright: ignore[reportArgumentType]  # built with a bias
        self.predictor = GatheredConv2d(
            width, num_categories, temperature=settings.normed_temperature
        )

    def features(self, pooled: Tensor, previous: Tensor | None) -> Tensor:
        """Features (K, F, P, P) of pooled RoIs (K, C, P, P); ``previous``: those of the stage before."""
        x = pooled
        if self.flow is not None and previous is not None:
            x = x + self.flow(previous).relu_()
        for conv in (*self.convs, *self.extra_convs):
            x = conv(x).relu_()
        return x

    def logits(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mask logits (K, 2P, 2P) of each RoI's category, ``labels (K,)``."""
        return upsampled_logits(features, labels, deconv=self.deconv, predictor=self.predictor)

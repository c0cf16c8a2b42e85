"""The boundary branch of a mask head, after boundary-preserving Mask R-CNN (ECCV 2020, arXiv 2007.08921).

It sits between the mask head's last convolution and its deconvolution, and exchanges features with
it both ways.
"""

from torch import Tensor, nn

from lvistk.models.conv_init import identity_conv, relu_conv
from lvistk.models.gathered_conv import GatheredConv2d
from lvistk.models.upsampled_prediction import upsampled_logits


class BoundaryBranch(nn.Module):
    """Finer features go in, fused mask features and boundary logits come out.

    The published structure: boundary features halve their resolution by a strided convolution,
    take in the mask features, pass two convolutions, and are given back to the mask features,
    which one more convolution fuses.

    It starts by leaving the mask features as they are, so that it can join a trained mask head
    without spoiling its masks (ours): the fusing convolution is the identity, and what is given
    back is zero. For that there is no ReLU on the way back, unlike in the published code: a ReLU
    at zero would never learn.

    num_categories: 1 for a class-agnostic head.
    """

    def __init__(self, channels: int, num_categories: int) -> None:
        super().__init__()
        self.downsample = relu_conv(channels, channels, stride=2)
        self.mask_to_boundary = relu_conv(channels, channels, kernel_size=1)
        self.convs = nn.ModuleList(relu_conv(channels, channels) for _ in range(2))
        self.boundary_to_mask = nn.Conv2d(channels, channels, kernel_size=1)
        self.fusion = identity_conv(channels)
        self.deconv = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
        self.predictor = GatheredConv2d(channels, num_categories)
        nn.init.kaiming_normal_(self.deconv.weight, mode="fan_out", nonlinearity="relu")
        for parameter in self.boundary_to_mask.parameters():
            nn.init.zeros_(parameter)

    def entered(self, mask_features: Tensor, fine_features: Tensor) -> Tensor:
        """What the boundary convolutions start from, (K, channels, M, M).

        mask_features: (K, channels, M, M) of the mask head's last convolution, not negative.
        fine_features: (K, channels, 2M, 2M), the same RoIs pooled from the finest map.
        """
        return self.downsample(fine_features).relu_() + self.mask_to_boundary(mask_features).relu_()

    def forward(self, entered: Tensor) -> Tensor:
        """Boundary features (K, channels, M, M) of ``entered``, as above. K = 0 keeps the graph."""
        boundary = entered
        for conv in self.convs:
            boundary = conv(boundary).relu_()
        return boundary

    def fused(self, mask_features: Tensor, boundary_features: Tensor) -> Tensor:
        """Mask features (K, channels, M, M) for the mask head's deconvolution, of those and `forward`'s."""
        return self.fusion(mask_features + self.boundary_to_mask(boundary_features)).relu_()

    def predict(self, boundary_features: Tensor, labels: Tensor) -> Tensor:
        """Boundary logits (K, 2M, 2M) of each RoI's own category, labels (K,); for training only."""
        return upsampled_logits(
            boundary_features, labels, deconv=self.deconv, predictor=self.predictor
        )

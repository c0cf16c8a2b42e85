"""The mask scoring head (CVPR 2019, arXiv 1903.00241): how good is a predicted mask?"""

from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.models.conv_init import relu_conv
from lvistk.models.gathered_conv import GatheredConv2d


class MaskIouHead(nn.Module):
    """Predicts the IoU of each mask with its whole instance from the RoI's features and the mask.

    Four 3x3 convolutions, the last with stride 2, two fully connected layers, and one output per
    category, of which only the RoI's own is computed.

    mask_size: M, bins per side of the RoI features. num_categories: 1 for a class-agnostic head.
    """

    def __init__(
        self,
        channels: int,
        num_categories: int,
        *,
        mask_size: int = 14,
        conv_channels: int = 256,
        fc_channels: int = 1024,
    ) -> None:
        super().__init__()
        inputs = (channels + 1, conv_channels, conv_channels, conv_channels)
        self.convs = nn.ModuleList(
            relu_conv(width, conv_channels, stride=stride)
            for width, stride in zip(inputs, (1, 1, 1, 2), strict=True)
        )
        flat = conv_channels * ((mask_size + 1) // 2) ** 2
        self.fcs = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat, fc_channels),
            nn.ReLU(inplace=True),
            nn.Linear(fc_channels, fc_channels),
            nn.ReLU(inplace=True),
        )
        self.predictor = GatheredConv2d(fc_channels, num_categories)
        nn.init.normal_(self.predictor.weight, std=0.01)

    def forward(self, roi_features: Tensor, mask_logits: Tensor, labels: Tensor) -> Tensor:
        """Predicted IoU (K,), meant to lie in 0 to 1 but not bounded.

        roi_features: (K, channels, M, M), as the mask head gets them. mask_logits: (K, 2M, 2M) of
        the RoI's own category; no gradient goes back into them, so that the masks are not bent to
        be predictable.
        labels: (K,) in 0..C-1. K = 0 keeps the graph.
        """
        masks = F.max_pool2d(mask_logits.detach().sigmoid()[:, None], kernel_size=2)  # (K, 1, M, M)
        x = self._first(roi_features, masks.to(roi_features.dtype)).relu_()
        for conv in self.convs[1:]:
            x = conv(x).relu_()
        x = self.fcs(x)  # (K, fc_channels)
        return self.predictor(x[:, :, None, None], labels)[:, 0, 0]

    def _first(self, roi_features: Tensor, masks: Tensor) -> Tensor:
        """The first convolution of both as if concatenated, without the copy that would be kept."""
        first = self.convs[0]
        assert isinstance(first, nn.Conv2d)
        of_features, of_masks = first.weight.split([roi_features.shape[1], 1], dim=1)
        x = F.conv2d(roi_features, of_features, first.bias, padding=first.padding)
        return x.add_(F.conv2d(masks, of_masks, padding=first.padding))

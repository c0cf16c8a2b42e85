"""Upsampling by two, and the logits of each RoI's own category: the end of mask and boundary branches."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.models.gathered_conv import GatheredConv2d

ROIS_AT_ONCE = 64
"""RoIs whose upsampled features have a gradient at once."""


def upsampled_logits(
    features: Tensor, labels: Tensor, *, deconv: nn.ConvTranspose2d, predictor: GatheredConv2d
) -> Tensor:
    """Logits (K, 2P, 2P) of features (K, F, P, P) and labels (K,): ``predictor(relu(deconv(features)))``.

    A ``deconv`` of kernel and stride 2 has neither overlap nor gaps: it is a 1x1 convolution to the four
    pixels of each cell. They are arranged after the predictor, as one channel instead of many.
    Channels-last all the way, so that nothing is copied; some RoIs at a time, so that the gradient of four
    times the cells is never whole.
    """
    weight = deconv.weight.permute(2, 3, 1, 0).flatten(0, 2)[:, :, None, None]
    bias = deconv.get_parameter("bias").repeat(4)
    features = features.contiguous(memory_format=torch.channels_last)
    parts = []
    for part, own in zip(features.split(ROIS_AT_ONCE), labels.split(ROIS_AT_ONCE), strict=True):
        pixels = F.conv2d(part, weight, bias).relu_()  # (k, 4F, P, P): row, column, channel
        pixels = pixels.permute(0, 2, 3, 1).unflatten(3, (4, deconv.out_channels))
        pixels = pixels.flatten(2, 3).permute(0, 3, 1, 2)  # (k, F, P, 4P)
        parts.append(predictor(pixels, own))  # (k, P, 4P)
    side = features.shape[-1]
    logits = torch.cat(parts).unflatten(2, (side, 2, 2)).transpose(2, 3)  # (K, P, 2, P, 2)
    return logits.reshape(len(logits), 2 * side, 2 * side)

"""What a model gives at inference, in network-input pixels."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class BoxOutput:
    """Boxes of B images, before any threshold or NMS; each list has an entry per image.

    features: P2 to P6, for ``predict_masks``.
    boxes: (P, 4), or (P, C, 4) where every category regresses its own, cut to the image.
    scores: (P, C) foreground probabilities.
    proposals: (P, 4), the RPN's boxes that they were made of.
    """

    features: list[Tensor]
    boxes: list[Tensor]
    scores: list[Tensor]
    proposals: list[Tensor]


@dataclass
class MaskOutput:
    """Masks of N boxes of one image.

    probs: (N, M, M) of each box's category, inside the box.
    iou: (N,) predicted IoU of that mask with the ground truth, where mask scoring is on, else None;
        as in published code not cut to 0 to 1, which would make ties.
    moved: 0-d share of boxes, 0 to 1, that Eq. 1 pooled from another level than box scale alone
        would; 0 without boxes.
    """

    probs: Tensor
    iou: Tensor | None
    moved: Tensor

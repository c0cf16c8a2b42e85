"""The boxes of one view that take part in merging."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lvistk.inference.views import View, ViewGeometry


@dataclass(eq=False)
class Candidates:
    """N boxes of one image, each with one category.

    boxes: (N, 4) float32 xyxy in image pixels
    scores: (N,) float32
    labels: (N,) int32
    views: (N,) int32, index of the view that each comes from
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    views: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: np.ndarray) -> "Candidates":
        """The candidates at indices or of a boolean mask ``keep``."""
        return Candidates(self.boxes[keep], self.scores[keep], self.labels[keep], self.views[keep])

    @classmethod
    def concatenate(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """The candidates of all parts, in order; at least one part."""
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.views for part in parts]),
        )


def cut_candidates(
    boxes: Tensor,
    scores: Tensor,
    *,
    geometry: ViewGeometry,
    view: View,
    number: int,
    threshold: float,
    limit: int,
    floor: int = 0,
    factors: Tensor,
) -> Candidates:
    """The best ``limit`` pairs of proposal and category of view ``number``, back in the image.

    ``boxes`` (P, 4), or (P, C, 4) with a box per category, in view pixels; ``scores`` (P, C);
    ``factors`` (C,) on the scores. A pair counts when its product is above ``threshold`` and its box
    within the view's valid range. The best ``floor`` pairs of each category stay beyond the limit, so that
    common categories cannot crowd out a rare one. The cut runs on the tensors' device. It changes nothing in
    a following NMS without Soft-NMS as long as that still leaves as many detections as are wanted: a
    candidate falls only to a better one.
    """
    scores = scores.float() * factors  # (P, C)
    rows, labels = torch.nonzero(scores > threshold, as_tuple=True)  # (K,)
    values = scores[rows, labels]
    if view.low > 0 or view.high < float("inf"):
        sides = _box_sides(boxes, rows, labels) / geometry.scale
        valid = (sides >= view.low) & (sides <= view.high)
        rows, labels, values = rows[valid], labels[valid], values[valid]
    if len(values) > limit:
        best = torch.topk(values, limit, sorted=False).indices
        if floor > 0:
            best = torch.cat([best, _best_of_each(values, labels, floor)]).unique()
        best = best.sort().values
        rows, labels, values = rows[best], labels[best], values[best]
    chosen = boxes[rows] if boxes.dim() == 2 else boxes[rows, labels]  # (K, 4)
    candidates = Candidates(
        boxes=geometry.to_image(chosen.float().cpu().numpy()),
        scores=values.float().cpu().numpy(),
        labels=labels.int().cpu().numpy(),
        views=np.full(len(values), number, np.int32),
    )
    width, height = (candidates.boxes[:, 2:] - candidates.boxes[:, :2]).T
    return candidates.select((width > 0) & (height > 0))


def _best_of_each(values: Tensor, labels: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest values of each label; the earlier one of equal values."""
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(labels[order], stable=True)]  # by label, then by falling value
    of_label = labels[order]
    number = torch.arange(len(order), device=order.device)
    first = torch.searchsorted(of_label, of_label)  # where the label begins
    return order[number - first < count]


def _box_sides(boxes: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """Square roots (K,) of the areas of the chosen boxes."""
    extent = boxes[..., 2:] - boxes[..., :2]
    sides = extent.clamp(min=0).prod(-1).sqrt()  # (P,) or (P, C)
    return sides[rows] if sides.dim() == 1 else sides[rows, labels]

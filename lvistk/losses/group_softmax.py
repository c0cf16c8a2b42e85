"""Balanced group softmax (Li et al., CVPR 2020, arXiv 2006.10408): a softmax for each frequency.

Categories of similar frequency compete with each other only. Channels: background and foreground,
which are group 0; then, group by group, "others" (any other category, or background) and the
members. C categories in G groups take C + G + 2 channels: 1209 on LVIS v1.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lvistk.losses.reduction import full_precision

EDGES = (10, 100, 1000)  # training instances, lower bound inclusive: the paper's groups


@dataclass(frozen=True)
class GroupTable:
    """Which labels make which group; `group_categories` builds it.

    groups: labels of each non-empty group, fewest instances first, ascending within a group; a
        partition of 0..C-1
    unseen: labels without a training example. They have a channel in their group, but take no part
        in its softmax, and score zero.
    """

    groups: tuple[tuple[int, ...], ...]
    unseen: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        labels = sorted(label for group in self.groups for label in group)
        if labels != list(range(len(labels))) or not all(self.groups):
            raise ValueError("groups must be non-empty and together hold each label 0..C-1 once")

    @property
    def num_categories(self) -> int:
        return sum(map(len, self.groups))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each softmax, group 0 first."""
        return (2, *(len(group) + 1 for group in self.groups))

    @property
    def num_channels(self) -> int:
        """Outputs that the classifier needs: C + G + 2."""
        return sum(self.widths)

    @property
    def category_channels(self) -> tuple[int, ...]:
        """The channel of each of the C categories."""
        channels, start = [0] * self.num_categories, 2
        for group in self.groups:
            for channel, label in enumerate(group, start=start + 1):
                channels[label] = channel
            start += len(group) + 1
        return tuple(channels)

    def slots(self, device: torch.device) -> Tensor:
        """(G + 1, C + 1) int64: the target of each label in each softmax; 0 for background.

        A label that is unseen is foreground, and one of the others in every group.
        """
        return _slots(self, device)

    def channels(self, device: torch.device) -> Tensor:
        """(C,) int64: the channel of each category."""
        return _channels(self, device)


# Built outside inference mode, since a training step may be the next to use them.
@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _slots(table: GroupTable, device: torch.device) -> Tensor:
    slots = torch.zeros(len(table.groups) + 1, table.num_categories + 1, dtype=torch.int64)
    slots[0, :-1] = 1
    for row, group in zip(slots[1:], table.groups, strict=True):
        row[list(group)] = torch.arange(1, len(group) + 1)
    slots[1:, list(table.unseen)] = 0
    return slots.to(device)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _channels(table: GroupTable, device: torch.device) -> Tensor:
    return torch.tensor(table.category_channels, dtype=torch.int64, device=device)


def group_categories(
    instance_counts: Sequence[int],
    *,
    edges: Sequence[int] = EDGES,
    leave_out_unseen: bool = False,
) -> GroupTable:
    """Groups of categories by their training instances; a group without a category vanishes.

    instance_counts: of C categories, in label order
    edges: ascending; a category with exactly an edge's count belongs to the group above it
    leave_out_unseen: categories that count 0 are unseen; counts that are all 0 are unknown, and leave
        none out

    On LVIS v1 the groups hold 200, 412, 334 and 257 categories.
    """
    members: list[list[int]] = [[] for _ in range(len(edges) + 1)]
    for label, count in enumerate(instance_counts):
        members[sum(count >= edge for edge in edges)].append(label)
    unseen: tuple[int, ...] = ()
    if leave_out_unseen and any(instance_counts):
        unseen = tuple(label for label, count in enumerate(instance_counts) if count == 0)
    return GroupTable(tuple(tuple(group) for group in members if group), unseen)


@torch.no_grad()
def sample_others(
    labels: Tensor, *, table: GroupTable, generator: torch.Generator, beta: float = 8.0
) -> Tensor:
    """Which RoIs each softmax sees: all of its own, and at most beta times as many others.

    labels: (N,) in 0..C, C is background
    generator: on the device of labels
    beta: 8 in the paper

    Returns (G + 1, N) bool, computed without waiting for the device. Row 0 is all True; a group
    none of whose categories is in the batch has an empty row.
    """
    member = table.slots(labels.device)[:, labels] > 0  # (G + 1, N)
    member[0] = True
    keys = torch.rand(member.shape, generator=generator, device=labels.device)
    order = keys.masked_fill(member, 2.0).argsort(dim=1)  # others first, in random order
    positions = torch.arange(member.shape[1], device=labels.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, positions)  # (G + 1, N)
    allowed = (beta * member.sum(dim=1, keepdim=True)).floor()  # (G + 1, 1)
    return member | (rank < allowed)


def group_softmax_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    table: GroupTable,
    kept: Tensor,
    lengths: Sequence[int] | None = None,
    images: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean over images of the sum over groups of the mean cross-entropy of the RoIs that the group keeps.

    Each image's groups are divided by that image's own counts, so that the loss of a batch is the
    mean of its images' losses however they are spread over ranks.

    logits: (N, C + G + 2)
    labels: (N,) in 0..C, C is background
    kept: (G + 1, N) bool from `sample_others`. A group that keeps no RoI of an image adds 0.
    lengths: RoIs of each image, in order; default: all are of one image
    images: 0-d number of images to divide by, of which a distributed caller gives the mean over
        ranks; default `len(lengths)`
    weights: (N,) factor of each RoI, its image's loss weight

    Returns a 0-d loss in [0, inf); N = 0 gives zero with a graph.
    """
    lengths = [len(labels)] if lengths is None else list(lengths)
    shares = torch.cat(
        [part / part.sum(dim=1, keepdim=True).clamp(min=1) for part in kept.split(lengths, dim=1)],
        dim=1,
    )  # (G + 1, N)
    targets = table.slots(labels.device)[:, labels]  # (G + 1, N)
    parts = _seen(logits, table).split(table.widths, dim=1)
    values = torch.stack(
        [
            F.cross_entropy(part, target, reduction="none")
            for part, target in zip(parts, targets, strict=True)
        ]
    )  # (G + 1, N)
    values = values * shares if weights is None else values * (shares * weights)
    return values.sum() / max(len(lengths), 1) if images is None else values.sum() / images


@torch.no_grad()
def group_softmax_scores(logits: Tensor, *, table: GroupTable) -> Tensor:
    """Foreground probabilities (N, C): each in its own softmax, times that of foreground.

    Not normalised over groups, as in the paper: a row may sum to more than 1. Categories that are
    unseen score 0. Without gradient. A cascade gives its stages' mean logits: a softmax does not see
    a shift common to its channels, so their mean is the mean within each group.
    """
    parts = _seen(logits, table).split(table.widths, dim=1)
    probabilities = torch.cat([part.softmax(dim=1) for part in parts], dim=1)
    scores = probabilities.index_select(1, table.channels(logits.device))  # (N, C)
    return scores.mul_(probabilities[:, 1:2])


def _seen(logits: Tensor, table: GroupTable) -> Tensor:
    """Logits in full precision, minus infinity where a category is unseen."""
    logits = full_precision(logits)
    if not table.unseen:
        return logits
    return logits.masked_fill(_unseen_channels(table, logits.device), -torch.inf)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _unseen_channels(table: GroupTable, device: torch.device) -> Tensor:
    """(C + G + 2,) bool: channels of categories without a training example."""
    unseen = torch.zeros(table.num_channels, dtype=torch.bool)
    unseen[[table.category_channels[label] for label in table.unseen]] = True
    return unseen.to(device)

"""A random choice of positive and negative boxes, of fixed size, so that nothing waits for a device."""

from typing import NamedTuple

import torch
from torch import Tensor


class Sample(NamedTuple):
    """A sample of fixed size.

    indices: (S,) int64 into the candidates, positives in the first ``positives`` entries.
    valid: (S,) bool, entries that hold a sample.
    positives: number of entries for positives.
    """

    indices: Tensor
    valid: Tensor
    positives: int


@torch.no_grad()
def sample(
    positive: Tensor,
    negative: Tensor,
    *,
    number: int,
    positive_fraction: float,
    generator: torch.Generator,
) -> Sample:
    """At most ``number * positive_fraction`` positives, filled up to ``number`` with negatives.

    positive, negative: (N,) bool, disjoint; candidates in neither are left out. N = 0 gives S = 0.
    """
    candidates = len(positive)
    most_positives = min(int(number * positive_fraction), candidates)
    keys = torch.rand(candidates, generator=generator, device=positive.device)
    chosen, positive_valid = _smallest(keys, positive, most_positives)
    others, negative_valid = _smallest(keys, negative, min(number, candidates))
    room = number - positive_valid.sum()
    rank = torch.arange(len(others), device=positive.device)
    return Sample(
        indices=torch.cat([chosen, others]),
        valid=torch.cat([positive_valid, negative_valid & (rank < room)]),
        positives=most_positives,
    )


def _smallest(keys: Tensor, among: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Indices of the ``number`` smallest keys, and which of them are ``among``."""
    values, indices = keys.masked_fill(~among, 2.0).topk(number, largest=False)
    return indices, values < 2

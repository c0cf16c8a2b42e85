"""Balanced group softmax (arXiv 2006.10408): a softmax for each group of similar frequency."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lvistk.distributed import mean_over_ranks
from lvistk.losses.group_softmax import (
    GroupTable,
    group_softmax_loss,
    group_softmax_scores,
    sample_others,
)
from lvistk.models.classifiers.logits_layer import LogitsLayer
from lvistk.models.classifiers.protocol import Channels, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class GroupSoftmaxClassifier(nn.Module):
    """C + G + 2 channels of G groups, see ``losses.group_softmax``.

    table: which categories make which group.
    beta: sampled "others" for each positive of a group.
    """

    def __init__(
        self, in_channels: int, *, table: GroupTable, temperature: float, beta: float
    ) -> None:
        super().__init__()
        self.group_table, self.beta = table, beta
        self.channels = Channels("group_softmax", table.num_channels, table.category_channels)
        self.linear = LogitsLayer(in_channels, table.num_channels, temperature=temperature)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def loss(
        self,
        logits: Tensor,
        samples: RoiSamples,
        *,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        kept = [
            sample_others(labels, table=self.group_table, generator=generator, beta=self.beta)
            for labels, generator in zip(
                samples.labels.split(samples.lengths), generators, strict=True
            )
        ]
        chosen = torch.cat(kept, dim=1)  # (G + 1, N)
        return group_softmax_loss(
            logits,
            samples.labels,
            table=self.group_table,
            kept=chosen,
            weights=samples.weights,
            normalizers=mean_over_ranks(chosen.sum(dim=1).float()),
        )

    def scores(self, logits: Tensor) -> Tensor:
        return group_softmax_scores(logits, table=self.group_table)

    def remarks(self) -> list[Remark]:
        sizes = [len(group) for group in self.group_table.groups]
        remarks = [Remark(f"group softmax: groups of {', '.join(map(str, sizes))} categories")]
        if len(sizes) == 1:
            text = (
                "all categories are in one group, so nothing is balanced; "
                "change classifier.group_edges"
            )
            remarks.append(Remark(text, is_warning=True))
        return remarks

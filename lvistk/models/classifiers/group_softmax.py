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
from lvistk.models.classifiers.classifier import Channels, Classifier, Remark
from lvistk.models.samples import RoiSamples
from lvistk.structures.targets import Targets


class GroupSoftmaxClassifier(nn.Module):
    """C + G + 2 channels of G groups, see ``losses.group_softmax``.

    table: which categories make which group.
    beta: sampled "others" for each positive of a group.
    starts_anew: ``start_from`` leaves the random weights as they are.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        table: GroupTable,
        temperature: float,
        beta: float,
        starts_anew: bool = False,
    ) -> None:
        super().__init__()
        self.group_table, self.beta, self.starts_anew = table, beta, starts_anew
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
        return group_softmax_loss(
            logits,
            samples.labels,
            table=self.group_table,
            kept=torch.cat(kept, dim=1),  # (G + 1, N)
            lengths=samples.lengths,
            images=mean_over_ranks(logits.new_tensor(float(len(targets)), dtype=torch.float32)),
            weights=samples.weights,
        )

    def scores(self, logits: Tensor) -> Tensor:
        return group_softmax_scores(logits, table=self.group_table)

    def remarks(self) -> list[Remark]:
        sizes = [len(group) for group in self.group_table.groups]
        remarks = [Remark(f"group softmax: groups of {', '.join(map(str, sizes))} categories")]
        if self.group_table.unseen:
            text = (
                f"{len(self.group_table.unseen)} of {sum(sizes)} categories have no training example: "
                "they join no group's softmax and are never detected; set classifier.group_unseen="
                "member to keep them"
            )
            remarks.append(Remark(text, is_warning=True))
        if len(sizes) == 1:
            text = (
                "all categories are in one group, so nothing is balanced; "
                "change classifier.group_edges"
            )
            remarks.append(Remark(text, is_warning=True))
        return remarks

    @torch.no_grad()
    def start_from(self, old: Classifier) -> bool:
        """Take over another kind's knowledge of categories (ours); whether that was possible.

        The row of each category becomes that of ``old``, less background's row where one softmax is
        over both; rows of "others", background and foreground become zero. Not for rows that are
        compared by their directions, of which a difference says nothing.
        """
        if self.starts_anew or self.linear.temperature or old.linear.temperature:
            return False
        if old.channels.kind == self.channels.kind:
            return False  # a row means something only beside the "others" of its own group
        for own, theirs in (
            (self.linear.weight, old.linear.weight),
            (self.linear.bias, old.linear.bias),
        ):
            rows = theirs[list(old.channels.of_category)]
            if old.channels.background is not None:
                rows = rows - theirs[old.channels.background]
            own.zero_()
            own[list(self.channels.of_category)] = rows.to(own)
        return True

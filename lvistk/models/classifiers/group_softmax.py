"""Balanced group softmax (arXiv 2006.10408): a softmax for each group of similar frequency."""

import math

import numpy as np
import torch
from torch import Tensor

from lvistk.config.classifier import GroupSoftmaxSettings
from lvistk.distributed import mean_over_ranks
from lvistk.losses.group_softmax import (
    GroupTable,
    group_softmax_loss,
    group_softmax_scores,
    sample_others,
)
from lvistk.models.classifiers.classifier import Channels, Classifier, PerImage, Remark
from lvistk.models.samples import RoiSamples


class GroupSoftmaxClassifier(Classifier):
    """C + G + 2 channels of G groups, see ``losses.group_softmax``.

    table: which categories make which group.
    temperature: see ``LogitsLayer``.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        table: GroupTable,
        temperature: float,
        settings: GroupSoftmaxSettings,
    ) -> None:
        channels = Channels(
            "group_softmax", table.num_channels, table.category_channels, objectness=(1, 0)
        )
        super().__init__(in_channels, channels, temperature=temperature)
        self.group_table, self.settings = table, settings

    def loss(self, logits: Tensor, samples: RoiSamples, images: PerImage) -> Tensor:
        kept = [
            sample_others(
                labels, table=self.group_table, generator=generator, beta=self.settings.beta
            )
            for labels, generator in zip(
                samples.labels.split(samples.lengths), images.generators, strict=True
            )
        ]
        return group_softmax_loss(
            logits,
            samples.labels,
            table=self.group_table,
            kept=torch.cat(kept, dim=1),  # (G + 1, N)
            lengths=samples.lengths,
            images=mean_over_ranks(
                logits.new_full((), float(len(images.targets)), dtype=torch.float32)
            ),
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
                "they join no group's softmax and are never detected; set classifier.group_softmax.unseen="
                "member to keep them"
            )
            remarks.append(Remark(text, is_warning=True))
        if len(sizes) == 1:
            text = (
                "all categories are in one group, so nothing is balanced; "
                "change classifier.group_softmax.edges"
            )
            remarks.append(Remark(text, is_warning=True))
        return remarks

    def category_rows(self) -> None:
        """None: a row means something only beside the "others" of its own group."""

    @torch.no_grad()
    def start_from(self, old: Classifier, labels: np.ndarray | None = None) -> bool:
        """Take over another kind's rows (ours).

        A row of "others" becomes zero, and so do background and foreground, where the old rows are log-odds.
        Of a kind that has objectness they are logits among the categories, and then "others" are the mean of
        the categories outside the group, each of which could be meant.
        """
        if self.settings.start == "anew" or not super().start_from(old, labels):
            return False
        weight, bias, table = self.linear.weight, self.linear.bias, self.group_table
        among_categories = old.channels.objectness is not None
        if not among_categories:
            weight[:2], bias[:2] = 0, 0
        every, start = set(range(table.num_categories)), 2
        for group in table.groups:
            outside = [table.category_channels[label] for label in sorted(every - set(group))]
            weight[start], bias[start] = 0, 0
            if among_categories and outside:
                weight[start] = weight[outside].mean(0)
                bias[start] = bias[outside].mean() + math.log(len(outside))
            start += len(group) + 1
        return True

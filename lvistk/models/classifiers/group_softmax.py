"""Balanced group softmax (arXiv 2006.10408): a softmax for each group of similar frequency."""

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
        """Take over another kind's rows (ours), and foreground and background where it tells them apart; rows
        of "others" become zero.

        The mean of the rows outside a group, for "others" of a Seesaw's rows, scored 1.5 AP less in the demo.
        """
        if self.settings.start == "anew" or not super().start_from(old, labels):
            return False
        others = set(range(self.channels.number)) - set(self.channels.of_category)
        if old.channels.objectness:
            others -= set(self.channels.objectness or ())
        self.linear.weight[sorted(others)] = 0
        self.linear.bias[sorted(others)] = 0
        return True

"""The last layer of a box head: logits, their loss, and the scores they mean."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.config.model import ClassifierSettings
from lvistk.distributed import mean_over_ranks, sum_over_ranks
from lvistk.errors import UserError
from lvistk.losses import equalization as eql
from lvistk.losses import equalization_v2 as eql_v2
from lvistk.losses import federated, seesaw, softmax
from lvistk.losses import group_softmax as groups
from lvistk.models.normalised import normalised
from lvistk.models.samples import RoiSamples
from lvistk.structures.categories import Categories
from lvistk.structures.targets import Targets


class Classifier(nn.Module):
    """A linear layer whose channels, loss and scores depend on ``settings.kind``.

    Channels of C categories: C (``eql``, ``federated``), C + 1 with background last (``softmax``,
    ``eql_v2``), C + 2 (``seesaw``), C + G + 2 (``group_softmax``).
    """

    def __init__(
        self, in_channels: int, settings: ClassifierSettings, categories: Categories
    ) -> None:
        super().__init__()
        self.settings = settings
        self.num_categories = len(categories)
        self.group_table = groups.group_categories(
            categories.instance_count.tolist(), edges=settings.group_edges
        )
        self.linear = nn.Linear(in_channels, self._channels())
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        image_counts = torch.from_numpy(categories.image_count.copy())
        self.image_counts: Tensor
        self.register_buffer("image_counts", image_counts, persistent=False)
        self.tail: Tensor
        self.register_buffer("tail", _tail(image_counts, settings, categories), persistent=False)
        match settings.kind:
            case "eql" | "federated":
                nn.init.constant_(self.linear.bias, eql.prior_bias(settings.prior_probability))
            case "eql_v2":
                nn.init.constant_(self.linear.bias, eql.prior_bias(settings.prior_probability))
                self.balance = eql_v2.GradientBalance(
                    self.num_categories,
                    gamma=settings.eql_v2_gamma,
                    mu=settings.eql_v2_mu,
                    alpha=settings.eql_v2_alpha,
                )
            case "seesaw":
                self.counts = seesaw.SampleCounts(self.num_categories)

    def _channels(self) -> int:
        match self.settings.kind:
            case "eql" | "federated":
                return self.num_categories
            case "softmax" | "eql_v2":
                return self.num_categories + 1
            case "seesaw":
                return self.num_categories + 2
            case "group_softmax":
                return self.group_table.num_channels

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, channels) of features (N, in_channels)."""
        temperature = self.settings.normed_temperature
        if not temperature:
            return self.linear(features)
        cosines = F.linear(normalised(features), normalised(self.linear.weight))
        return temperature * cosines + self.linear.bias

    def scores(self, logits: Tensor) -> Tensor:
        """Foreground probabilities (N, C)."""
        match self.settings.kind:
            case "eql" | "federated":
                return eql.equalization_scores(logits)
            case "softmax":
                return softmax.softmax_scores(logits)
            case "eql_v2":
                return eql_v2.equalization_v2_scores(logits)
            case "seesaw":
                return seesaw.seesaw_scores(logits)
            case "group_softmax":
                return groups.group_softmax_scores(logits, table=self.group_table)

    def loss(
        self,
        logits: Tensor,
        samples: RoiSamples,
        *,
        targets: Sequence[Targets],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """0-d loss of sampled RoIs, divided by their number (mean over ranks).

        targets, generators: one an image; what is drawn at random is drawn image by image, so that
        it does not depend on how images are spread over ranks.
        """
        labels, settings = samples.labels, self.settings
        weights, count = samples.weights, samples.count()
        match settings.kind:
            case "eql":
                negatives = self._negatives(samples, targets)
                return eql.equalization_loss(
                    logits,
                    labels,
                    tail=self.tail,
                    negatives=negatives,
                    weights=weights,
                    normalizer=count,
                )
            case "softmax":
                return softmax.softmax_loss(logits, labels, weights=weights, normalizer=count)
            case "federated":
                categories = federated.sample_categories(
                    labels,
                    image_counts=self.image_counts,
                    generator=generators[0],
                    number=settings.federated_categories,
                    power=settings.federated_power,
                )
                return federated.federated_loss(
                    logits, labels, categories=categories, weights=weights, normalizer=count
                )
            case "eql_v2":
                balance = self.balance.weights()
                sums = eql_v2.gradient_sums(logits, labels, balance=balance, weights=weights)
                self.balance.add(sum_over_ranks(sums))
                return eql_v2.equalization_v2_loss(
                    logits, labels, balance=balance, weights=weights, normalizer=count
                )
            case "seesaw":
                new = seesaw.sampled_counts(labels, num_categories=self.num_categories)
                self.counts.add(sum_over_ranks(new))
                return seesaw.seesaw_loss(
                    logits,
                    labels,
                    counts=self.counts.counts,
                    p=settings.seesaw_p,
                    q=settings.seesaw_q,
                    weights=weights,
                    normalizer=count,
                )
            case "group_softmax":
                return self._group_softmax_loss(logits, samples, generators)

    def _group_softmax_loss(
        self, logits: Tensor, samples: RoiSamples, generators: Sequence[torch.Generator]
    ) -> Tensor:
        kept = [
            groups.sample_others(
                labels, table=self.group_table, generator=generator, beta=self.settings.group_beta
            )
            for labels, generator in zip(
                samples.labels.split(samples.lengths), generators, strict=True
            )
        ]
        chosen = torch.cat(kept, dim=1)  # (G + 1, N)
        return groups.group_softmax_loss(
            logits,
            samples.labels,
            table=self.group_table,
            kept=chosen,
            weights=samples.weights,
            normalizers=mean_over_ranks(chosen.sum(dim=1).float()),
        )

    def _negatives(self, samples: RoiSamples, targets: Sequence[Targets]) -> Tensor | None:
        """(N, C) bool: categories verified absent in each RoI's image."""
        if not self.settings.eql_negative_clause:
            return None
        shape = (len(targets), self.num_categories)
        absent = torch.zeros(shape, dtype=torch.bool, device=samples.labels.device)
        for row, target in zip(absent, targets, strict=True):
            row[target.negative_labels] = True
        return absent[samples.image]


def _tail(image_counts: Tensor, settings: ClassifierSettings, categories: Categories) -> Tensor:
    """(C,) bool, which categories EQL spares."""
    below = settings.eql_tail_images
    if settings.eql_tail_fraction is not None:
        if not categories.annotated_images:
            raise UserError(
                "classifier.eql_tail_fraction needs the number of annotated images, which these "
                "categories come without; set eql_tail_images instead"
            )
        below = eql.images_below(settings.eql_tail_fraction, images=categories.annotated_images)
    return eql.tail_categories(image_counts, below=below)

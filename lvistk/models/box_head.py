"""The box head of one cascade stage: shared layers, classifier, box regression."""

import torch
from torch import Tensor, nn

from lvistk.config.classifier import ClassifierSettings
from lvistk.config.model import BoxHeadSettings
from lvistk.models.classifiers.build import build_classifier
from lvistk.structures.categories import Categories


class BoxHead(nn.Module):
    """Fully connected layers from pooled RoIs to logits and box deltas.

    Class-specific deltas are computed for the one category that is asked for: of 1203 rows of four,
    training needs one for each positive RoI.
    """

    def __init__(
        self,
        channels: int,
        settings: BoxHeadSettings,
        *,
        classifier: ClassifierSettings,
        categories: Categories,
    ) -> None:
        super().__init__()
        self.class_agnostic = settings.class_agnostic
        self.num_categories = len(categories)
        self.fc = nn.ModuleList()
        width = channels * settings.pool_size**2
        for _ in range(settings.fc_layers):
            layer = nn.Linear(width, settings.fc_channels)
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
            self.fc.append(layer)
            width = settings.fc_channels
        self.classifier = build_classifier(width, classifier, categories)
        self.regression = nn.Linear(width, 4 if self.class_agnostic else 4 * len(categories))
        nn.init.normal_(self.regression.weight, std=0.001)
        nn.init.zeros_(self.regression.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Hidden features (N, F) of pooled RoIs (N, C, P, P)."""
        hidden = pooled.flatten(1)
        for layer in self.fc:
            hidden = layer(hidden).relu_()
        return hidden

    def deltas_of(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Deltas (N, 4) of each RoI's category, ``labels (N,)`` in 0..C-1."""
        if self.class_agnostic:
            return self.regression(hidden)
        weight = self.regression.weight.unflatten(0, (-1, 4)).index_select(0, labels)  # (N, 4, F)
        bias = self.regression.bias.unflatten(0, (-1, 4)).index_select(0, labels)  # (N, 4)
        return torch.einsum("nf,ndf->nd", hidden, weight) + bias

    def all_deltas(self, hidden: Tensor) -> Tensor:
        """Deltas (N, C, 4) of all categories, or (N, 4) where they share one box."""
        deltas = self.regression(hidden)
        return deltas if self.class_agnostic else deltas.unflatten(1, (-1, 4))

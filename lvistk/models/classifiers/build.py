"""The one switch over kinds of classifier. A new kind is a module beside this one and a case here."""

import torch
from torch import Tensor

from lvistk.config.classifier import ClassifierSettings, EqlSettings
from lvistk.errors import UserError
from lvistk.losses.equalization import images_below, tail_categories
from lvistk.losses.group_softmax import group_categories
from lvistk.models.classifiers.classifier import Classifier
from lvistk.models.classifiers.eql import EqlClassifier
from lvistk.models.classifiers.eql_v2 import EqlV2Classifier
from lvistk.models.classifiers.federated import FederatedClassifier
from lvistk.models.classifiers.group_softmax import GroupSoftmaxClassifier
from lvistk.models.classifiers.seesaw import SeesawClassifier
from lvistk.models.classifiers.softmax import SoftmaxClassifier
from lvistk.structures.categories import Categories


def build_classifier(
    in_channels: int, settings: ClassifierSettings, categories: Categories
) -> Classifier:
    """The classifier of the settings on features (N, in_channels); ``UserError`` for settings that
    these categories can't fill."""
    temperature, prior = settings.normed_temperature, settings.prior_probability
    match settings.kind:
        case "softmax":
            return SoftmaxClassifier(in_channels, len(categories), temperature=temperature)
        case "eql":
            return EqlClassifier(
                in_channels,
                tail=_tail(settings.eql, categories),
                temperature=temperature,
                prior_probability=prior,
                negative_clause=settings.eql.negative_clause,
            )
        case "eql_v2":
            return EqlV2Classifier(
                in_channels,
                len(categories),
                temperature=temperature,
                prior_probability=prior,
                settings=settings.eql_v2,
            )
        case "seesaw":
            return SeesawClassifier(
                in_channels, len(categories), temperature=temperature, settings=settings.seesaw
            )
        case "federated":
            return FederatedClassifier(
                in_channels,
                image_counts=torch.from_numpy(categories.image_count.copy()),
                temperature=temperature,
                prior_probability=prior,
                settings=settings.federated,
            )
        case "group_softmax":
            return GroupSoftmaxClassifier(
                in_channels,
                table=group_categories(
                    categories.instance_count.tolist(),
                    edges=settings.group_softmax.edges,
                    leave_out_unseen=settings.group_softmax.unseen == "zero",
                ),
                temperature=temperature,
                settings=settings.group_softmax,
            )


def _tail(settings: EqlSettings, categories: Categories) -> Tensor:
    """(C,) bool, which categories EQL spares."""
    below = settings.tail_images
    if settings.tail_fraction is not None:
        if not categories.annotated_images:
            raise UserError(
                "classifier.eql.tail_fraction needs the number of annotated images, which these "
                "categories come without; set classifier.eql.tail_images instead"
            )
        below = images_below(settings.tail_fraction, images=categories.annotated_images)
    return tail_categories(torch.from_numpy(categories.image_count.copy()), below=below)

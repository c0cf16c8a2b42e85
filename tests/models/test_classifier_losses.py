"""What a model's classifier hands to its loss: settings, images' lists and weights, history, seeds.

The losses themselves are held by their twins in `tests/losses`; here each is called with the
arguments spelled out, beside the classifier that has to find them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lvistk.config.classifier import ClassifierSettings, GroupSoftmaxSettings
from lvistk.losses import equalization, equalization_v2, federated, group_softmax, seesaw, softmax
from lvistk.models.classifiers.build import build_classifier
from lvistk.models.classifiers.classifier import PerImage
from lvistk.models.samples import RoiSamples
from tests.models.build_small import small_model, some_batch, some_categories, some_targets

LABELS = torch.tensor([3, 0, 7, 7, 7, 2, 6, 7, 7])  # two images, of 5 and 4 RoIs; 7 is background
WEIGHTS = torch.tensor([1.0] * 5 + [0.25] * 4)
TAIL = torch.tensor([True, True, False, False, True, True, False])  # at most 109 images


def classifier(**settings: Any) -> Any:
    return small_model({"classifier": settings}).roi_heads.box_heads[0].classifier


def samples() -> RoiSamples:
    number = len(LABELS)
    return RoiSamples(
        boxes=torch.zeros(number, 4),
        image=torch.tensor([0] * 5 + [1] * 4),
        labels=LABELS,
        gt=torch.zeros(number, dtype=torch.int64),
        gt_boxes=torch.zeros(number, 4),
        area_ratio=torch.ones(number),
        weights=WEIGHTS,
        mask_weights=WEIGHTS,
        is_gt=torch.zeros(number, dtype=torch.bool),
        lengths=[5, 4],
        positives=[2, 2],
    )


def random_logits(channels: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(len(LABELS), channels, generator=torch.Generator().manual_seed(seed))


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 6)]


def loss(head: Any, logits: Tensor, negatives: Sequence[Sequence[int]] = ((), ())) -> Tensor:
    targets = [
        some_targets(2, negative_labels=torch.tensor(labels, dtype=torch.int64))
        for labels in negatives
    ]
    return head.loss(logits, samples(), PerImage(targets, generators()))


def test_softmax() -> None:
    logits = random_logits(8)
    expected = softmax.softmax_loss(logits, LABELS, weights=WEIGHTS)
    head = classifier(kind="softmax")
    torch.testing.assert_close(loss(head, logits), expected)
    torch.testing.assert_close(head.scores(logits), softmax.softmax_scores(logits))


def test_equalization_spares_the_tail() -> None:
    """Without the negative clause, what is verified absent changes nothing."""
    logits = random_logits(7)
    expected = equalization.equalization_loss(logits, LABELS, tail=TAIL, weights=WEIGHTS)
    head = classifier(kind="eql")
    torch.testing.assert_close(loss(head, logits, [[0, 1], [4]]), expected)
    torch.testing.assert_close(head.scores(logits), logits.sigmoid())


def test_the_negative_clause_takes_each_images_own_list() -> None:
    """EQL, section 4.2, by hand: all logits 0, so that each term is log 2.

    Tail categories 0 and 1 are verified absent in the first image only, where one RoI is of
    category 3: it pays for both. The one of category 0 pays for 1 (0 is its own). Category 2 is
    no tail: it is paid for anyway.
    """
    logits = torch.zeros(9, 7)
    head = classifier(kind="eql", eql={"negative_clause": True})
    without = equalization.equalization_loss(logits, LABELS, tail=TAIL, weights=WEIGHTS)
    added = loss(head, logits, [[0, 1, 2], []]) - without
    torch.testing.assert_close(added, (2 + 1) * torch.tensor(2.0).log() / 9)
    added = loss(head, logits, [[], [4]]) - without  # two RoIs, each weighing a quarter
    torch.testing.assert_close(added, 2 * 0.25 * torch.tensor(2.0).log() / 9)


def test_the_negative_clause_reaches_a_models_loss() -> None:
    """All logits 0: the clause adds log 2 a foreground RoI and absent tail category."""

    def classifier_loss(*, clause: bool, absent: Sequence[Sequence[int]]) -> float:
        settings = {"kind": "eql", "eql": {"negative_clause": clause}, "prior_probability": 0.5}
        model = small_model({"classifier": settings})
        torch.nn.init.zeros_(model.roi_heads.box_heads[0].classifier.linear.weight)
        targets = [
            some_targets(
                4,
                seed=seed,
                labels=torch.full((4,), 3),
                negative_labels=torch.tensor(labels, dtype=torch.int64),
            )
            for seed, labels in enumerate(absent)
        ]
        return model.losses(some_batch(), targets)["classifier"].item()

    log2 = torch.tensor(2.0).log().item()
    plain = classifier_loss(clause=False, absent=[[0], [0]])
    share = (7 - plain / log2) / 4  # of foreground RoIs, which are spared the four of the tail
    assert 0.05 < share < 0.95
    both = classifier_loss(clause=True, absent=[[0], [0]]) - plain
    assert both == pytest.approx(share * log2, rel=1e-5)
    parts = [classifier_loss(clause=True, absent=a) - plain for a in ([[0], []], [[], [0]])]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(both, rel=1e-5)


def test_the_tail_as_a_share_of_the_annotated_images() -> None:
    """.01 of 2000 images: categories of fewer than 20 images, which are 0 and 4 (3 and 5 images)."""
    logits = random_logits(7)
    tail = torch.tensor([True, False, False, False, True, False, False])
    expected = equalization.equalization_loss(logits, LABELS, tail=tail, weights=WEIGHTS)
    head = classifier(kind="eql", eql={"tail_fraction": 0.01})
    torch.testing.assert_close(loss(head, logits), expected)
    few = torch.tensor([True, False, False, False, False, False, False])
    expected = equalization.equalization_loss(logits, LABELS, tail=few, weights=WEIGHTS)
    torch.testing.assert_close(
        loss(classifier(kind="eql", eql={"tail_images": 4.0}), logits), expected
    )


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("eql", 7), ("federated", 7), ("eql_v2", 8)],
    ids=lambda value: str(value),
)
def test_sigmoid_classifiers_begin_at_the_prior(kind: str, channels: int) -> None:
    head = classifier(kind=kind, prior_probability=0.02)
    assert head.linear.bias.shape == (channels,)
    torch.testing.assert_close(head.linear.bias.sigmoid(), torch.full((channels,), 0.02))


@pytest.mark.parametrize(
    ("kind", "channels"), [("softmax", 8), ("seesaw", 9), ("group_softmax", 13)]
)
def test_other_classifiers_begin_at_zero(kind: str, channels: int) -> None:
    head = classifier(kind=kind)
    assert torch.equal(head.linear.bias, torch.zeros(channels))
    assert 0.005 < head.linear.weight.std() < 0.02


def test_equalization_v2_remembers_its_gradients() -> None:
    """The second step's weights follow from the first step's gradients."""
    head = classifier(kind="eql_v2", eql_v2={"gamma": 5.0, "mu": 0.6, "alpha": 2.0})
    beside = equalization_v2.GradientBalance(7, gamma=5.0, mu=0.6, alpha=2.0)
    for step in range(3):
        logits, balance = random_logits(8, step), beside.weights()
        expected = equalization_v2.equalization_v2_loss(
            logits, LABELS, balance=balance, weights=WEIGHTS
        )
        torch.testing.assert_close(loss(head, logits), expected)
        beside.add(equalization_v2.gradient_sums(logits, LABELS, balance=balance, weights=WEIGHTS))
    torch.testing.assert_close(head.scores(logits), equalization_v2.equalization_v2_scores(logits))


def test_seesaw_counts_its_samples() -> None:
    """A step counts itself: categories 0, 2, 3 and 6 once each time."""
    head = classifier(kind="seesaw", seesaw={"p": 0.5, "q": 1.5})
    occurring = torch.tensor([1, 0, 1, 1, 0, 0, 1])
    for step in range(1, 4):
        logits = random_logits(9, step)
        expected = seesaw.seesaw_loss(
            logits, LABELS, counts=step * occurring, p=0.5, q=1.5, weights=WEIGHTS
        )
        torch.testing.assert_close(loss(head, logits), expected)
    torch.testing.assert_close(head.scores(logits), seesaw.seesaw_scores(logits))


def test_federated_draws_as_many_categories_as_it_is_told() -> None:
    head = classifier(kind="federated", federated={"categories": 5, "power": 0.9})
    logits = random_logits(7)
    categories = federated.sample_categories(
        LABELS,
        image_counts=torch.tensor([3, 20, 200, 2000, 5, 50, 500]),
        generator=generators()[0],
        number=5,
        power=0.9,
    )
    assert categories.sum() == 5
    expected = federated.federated_loss(logits, LABELS, categories=categories, weights=WEIGHTS)
    torch.testing.assert_close(loss(head, logits), expected)
    torch.testing.assert_close(head.scores(logits), logits.sigmoid())


def test_group_softmax_draws_image_by_image() -> None:
    """Groups below 10, 10 to 99, 100 and more; "others" from each image's own generator."""
    head = classifier(kind="group_softmax", group_softmax={"edges": [10, 100], "beta": 0.5})
    table = group_softmax.GroupTable(((0, 4), (1, 5), (2, 3, 6)))
    logits = random_logits(table.num_channels)
    kept = [
        group_softmax.sample_others(labels, table=table, generator=generator, beta=0.5)
        for labels, generator in zip(LABELS.split([5, 4]), generators(), strict=True)
    ]
    chosen = torch.cat(kept, dim=1)
    expected = group_softmax.group_softmax_loss(
        logits,
        LABELS,
        table=table,
        kept=chosen,
        weights=WEIGHTS,
        lengths=[5, 4],
    )
    torch.testing.assert_close(loss(head, logits), expected)
    torch.testing.assert_close(
        head.scores(logits), group_softmax.group_softmax_scores(logits, table=table)
    )


def test_a_normed_classifier_sees_directions_only() -> None:
    """Logits are the temperature times the cosine of features and weights."""
    head = classifier(kind="softmax", normed_temperature=20.0)
    features = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    cosines = torch.nn.functional.cosine_similarity(
        features[:, None], head.linear.weight[None], dim=2
    )
    torch.testing.assert_close(head(features), 20 * cosines, rtol=1e-3, atol=1e-3)


def test_group_softmax_says_how_many_categories_have_no_example() -> None:
    known = some_categories()
    counts = np.array([0, 20, 200, 2000, 0, 50, 500])
    known = dataclasses.replace(known, instance_count=counts, image_count=counts)
    for unseen, told in (("zero", True), ("member", False)):
        settings = ClassifierSettings(
            kind="group_softmax", group_softmax=GroupSoftmaxSettings(unseen=unseen)
        )
        head = build_classifier(8, settings, known)
        lines = [remark.text for remark in head.remarks() if remark.is_warning]
        assert any(line.startswith("2 of 7 categories have no training") for line in lines) is told
        scores = head.scores(torch.zeros(1, head.channels.number))
        assert (scores[0, [0, 4]] == 0).all() == told

"""Classification losses: hand-computed cases and slow twins."""

import math

import pytest
import torch
from torch import Tensor

from lvistk.losses.equalization import (
    equalization_loss,
    equalization_scores,
    images_below,
    prior_bias,
    tail_categories,
)
from lvistk.losses.equalization_v2 import (
    GradientBalance,
    equalization_v2_loss,
    equalization_v2_scores,
    gradient_sums,
)
from lvistk.losses.federated import federated_loss, sample_categories
from lvistk.losses.seesaw import SampleCounts, sampled_counts, seesaw_loss, seesaw_scores
from lvistk.losses.softmax import softmax_loss, softmax_scores
from tests.reference import classification_losses as twin

LOG2 = math.log(2)
seeds = pytest.mark.parametrize("seed", range(5))


def random_case(seed: int, channels: int, num: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(9, channels, generator=generator, dtype=torch.float64)
    labels = torch.randint(num + 1, (9,), generator=generator)
    return logits, labels, torch.rand(9, generator=generator, dtype=torch.float64)


def close(result: Tensor, expected: float) -> None:
    torch.testing.assert_close(result.item(), expected, rtol=1e-9, atol=1e-12)


@seeds
def test_softmax_twin(seed: int) -> None:
    logits, labels, weights = random_case(seed, 6, 5)
    expected = twin.softmax_loss(logits.tolist(), labels.tolist(), weights.tolist(), 4.0)
    close(softmax_loss(logits, labels, weights=weights, normalizer=torch.tensor(4.0)), expected)
    assert softmax_scores(logits).shape == (9, 5)


def test_equalization_by_hand() -> None:
    """All logits 0, so each term is log 2; of C = 3, category 2 is tail.

    A RoI of category 0 pays for 0 and 1; one of category 2 for all three; background for all three.
    """
    tail = torch.tensor([False, False, True])
    logits = torch.zeros(3, 3, dtype=torch.float64)
    close(equalization_loss(logits[:1], torch.tensor([0]), tail=tail), 2 * LOG2)
    close(equalization_loss(logits[:1], torch.tensor([2]), tail=tail), 3 * LOG2)
    close(equalization_loss(logits[:1], torch.tensor([3]), tail=tail), 3 * LOG2)
    close(equalization_loss(logits, torch.tensor([0, 2, 3]), tail=tail), 8 / 3 * LOG2)
    absent = torch.tensor([[False, False, True]])
    close(equalization_loss(logits[:1], torch.tensor([0]), tail=tail, negatives=absent), 3 * LOG2)
    assert equalization_scores(logits).eq(0.5).all()


def test_equalization_sends_no_discouraging_gradient_to_the_tail() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    tail = torch.tensor([False, False, True])
    equalization_loss(logits, torch.tensor([0, 1, 2, 3]), tail=tail).backward()
    assert logits.grad is not None
    assert (logits.grad[:2, 2] == 0).all()
    assert (logits.grad[2:, 2] != 0).all() and (logits.grad[:, :2] != 0).all()


@seeds
def test_equalization_twin(seed: int) -> None:
    logits, labels, weights = random_case(seed, 5, 5)
    generator = torch.Generator().manual_seed(seed)
    tail = torch.rand(5, generator=generator) > 0.5
    negatives = torch.rand(9, 5, generator=generator) > 0.7
    expected = twin.equalization_loss(
        logits.tolist(),
        labels.tolist(),
        tail.tolist(),
        negatives.tolist(),
        weights.tolist(),
        None,
    )
    result = equalization_loss(logits, labels, tail=tail, negatives=negatives, weights=weights)
    close(result, expected)


def test_tail_of_lvis_v1_threshold() -> None:
    assert images_below(0.0011, images=99_388) == 109
    assert images_below(0.1, images=100) == 9
    assert images_below(0.0001, images=100) == 0
    for count in range(1, 100):  # strictly below, as exact as the decimal
        assert images_below(count / 100, images=100) == count - 1
    assert images_below(1e-5, images=200_000) == 1
    tail = tail_categories(torch.tensor([0, 109, 110]), below=109)
    assert tail.tolist() == [True, True, False]


def test_prior_bias_gives_its_probability() -> None:
    assert torch.tensor(prior_bias(0.001)).sigmoid().item() == pytest.approx(0.001, rel=1e-5)


def test_equalization_v2_by_hand() -> None:
    """Ratio .8 is the middle of the map: negatives weigh 1/2, positives 1 + 4 / 2 = 3."""
    state = GradientBalance(2).double()
    state.add(torch.tensor([[8.0, 0.0], [10.0, 0.0]]))
    torch.testing.assert_close(state.ratio(), torch.tensor([0.8, 100.0]).double())
    balance = state.weights()
    expected = torch.tensor([[3.0, 1.0, 1.0], [0.5, 1.0, 1.0]]).double()
    torch.testing.assert_close(balance, expected, rtol=1e-8, atol=1e-8)
    logits = torch.zeros(1, 3, dtype=torch.float64)
    options = {"rtol": 1e-8, "atol": 1e-8}
    result = equalization_v2_loss(logits, torch.tensor([0]), balance=balance)
    torch.testing.assert_close(result.item(), (3 + 1 + 1) * LOG2, **options)
    result = equalization_v2_loss(logits, torch.tensor([2]), balance=balance)
    torch.testing.assert_close(result.item(), (0.5 + 1 + 1) * LOG2, **options)
    sums = gradient_sums(logits, torch.tensor([0]), balance=balance)
    torch.testing.assert_close(sums, torch.tensor([[1.5, 0.0], [0.0, 0.5]]).double(), **options)
    assert equalization_v2_scores(logits).eq(0.25).all()


@seeds
def test_equalization_v2_twin_over_two_steps(seed: int) -> None:
    state = GradientBalance(5).double()
    positive, negative = [0.0] * 5, [0.0] * 5
    ratio = [100.0] * 5
    for step in range(2):
        logits, labels, weights = random_case(10 * seed + step, 6, 5)
        balance = state.weights()
        result = equalization_v2_loss(logits, labels, balance=balance, weights=weights)
        state.add(gradient_sums(logits, labels, balance=balance, weights=weights))
        expected, more_positive, more_negative = twin.equalization_v2_step(
            logits.tolist(), labels.tolist(), ratio, weights.tolist(), None
        )
        close(result, expected)
        positive = [a + b for a, b in zip(positive, more_positive, strict=True)]
        negative = [a + b for a, b in zip(negative, more_negative, strict=True)]
        ratio = [a / (b + 1e-10) for a, b in zip(positive, negative, strict=True)]
    torch.testing.assert_close(state.ratio(), torch.tensor(ratio, dtype=torch.float64))


def test_equalization_v2_state_is_saved_with_the_model() -> None:
    assert list(GradientBalance(3).state_dict()) == ["sums"]
    assert list(SampleCounts(3).state_dict()) == ["counts"]


def test_seesaw_by_hand() -> None:
    """Category 0 has 100 samples, 1 has 1: mitigation of 1 as a negative of 0 is .01 ** .8.

    Equal logits, so compensation is 1. Objectness log 2 everywhere.
    """
    counts = torch.tensor([100, 1])
    logits = torch.zeros(1, 4, dtype=torch.float64)
    close(seesaw_loss(logits, torch.tensor([0]), counts=counts), LOG2 + math.log(1 + 0.01**0.8))
    close(seesaw_loss(logits, torch.tensor([1]), counts=counts), 2 * LOG2)
    close(seesaw_loss(logits, torch.tensor([2]), counts=counts), LOG2)
    # Probabilities .8 and .2: as a negative of 1, category 0 is raised by (.8 / .2) ** 2 = 16.
    logits = torch.tensor([[math.log(4), 0.0, 0.0, 0.0]], dtype=torch.float64)
    result = seesaw_loss(logits, torch.tensor([1]), counts=counts)
    close(result, LOG2 + math.log(1 + 4 * 16))
    scores = torch.tensor([[0.4, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(seesaw_scores(logits), scores)


@seeds
def test_seesaw_twin(seed: int) -> None:
    logits, labels, weights = random_case(seed, 7, 5)
    logits[0, :5] *= 10  # a true category below the floor of 1e-2
    counts = torch.tensor([0, 3, 50, 7, 1000])
    expected = twin.seesaw_loss(
        logits.tolist(), labels.tolist(), counts.tolist(), weights.tolist(), 5.0
    )
    options = {"weights": weights, "normalizer": torch.tensor(5.0)}
    close(seesaw_loss(logits, labels, counts=counts, **options), expected)


def test_seesaw_gradient_treats_the_factors_as_constants() -> None:
    """Of a softmax over raised logits: p - y, with p from the raised logits."""
    logits = torch.tensor([[2.0, 0.0, 0.5, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([1, 8, 4])
    seesaw_loss(logits, torch.tensor([1]), counts=counts, q=0.0).backward()
    factors = torch.tensor([(1 / 8) ** 0.8, 1.0, (4 / 8) ** 0.8], dtype=torch.float64)
    raised = factors * logits.detach()[0, :3].exp()
    expected = raised / raised.sum() - torch.tensor([0.0, 1.0, 0.0])
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, :3], expected)


def test_sampled_counts_leave_background_out() -> None:
    state = SampleCounts(3)
    state.add(sampled_counts(torch.tensor([0, 2, 2, 3, 3]), num_categories=3))
    state.add(sampled_counts(torch.tensor([], dtype=torch.int64), num_categories=3))
    assert state.counts.tolist() == [1, 0, 2]


@seeds
def test_federated_twin(seed: int) -> None:
    logits, labels, weights = random_case(seed, 5, 5)
    chosen = torch.rand(5, generator=torch.Generator().manual_seed(seed)) > 0.5
    expected = twin.federated_loss(
        logits.tolist(), labels.tolist(), chosen.tolist(), weights.tolist(), None
    )
    close(federated_loss(logits, labels, categories=chosen, weights=weights), expected)


def test_federated_categories_hold_all_that_occur() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.arange(20)  # category 0 has no image
    labels = torch.tensor([3, 0, 20, 3, 7])
    for _ in range(20):
        chosen = sample_categories(labels, image_counts=counts, generator=generator, number=6)
        assert chosen.sum() == 6 and chosen[[0, 3, 7]].all()
    few = sample_categories(labels, image_counts=counts, generator=generator, number=2)
    assert few.nonzero().flatten().tolist() == [0, 3, 7]
    none = torch.empty(0, dtype=torch.int64)
    everything = sample_categories(none, image_counts=counts, generator=generator, number=50)
    assert everything.sum() == 19 and not everything[0]


def test_federated_draw_follows_the_root_of_the_image_count() -> None:
    """One of three categories of 1, 4 and 25 images: 1/8, 2/8 and 5/8 of 4000 draws."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([1, 4, 25])
    none = torch.empty(0, dtype=torch.int64)
    draws = sum(
        sample_categories(none, image_counts=counts, generator=generator, number=1).double()
        for _ in range(4000)
    )
    expected = torch.tensor([1.0, 2.0, 5.0]).double() / 8
    # three standard deviations of the middle share are .023
    torch.testing.assert_close(draws / 4000, expected, rtol=0, atol=0.023)


def test_seesaw_gradient_takes_the_compensation_for_constant_too() -> None:
    """Equal counts, so no mitigation; the RoI of category 1 looks like 0: factor (s_0 / s_1)^2."""
    logits = torch.tensor([[1.0, 0.0, -1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    seesaw_loss(logits, torch.tensor([1]), counts=torch.tensor([5, 5, 5]), q=2.0).backward()
    factors = torch.tensor([math.exp(1.0) ** 2, 1.0, 1.0], dtype=torch.float64)
    raised = factors * logits.detach()[0, :3].exp()
    expected = raised / raised.sum() - torch.tensor([0.0, 1.0, 0.0])
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, :3], expected)

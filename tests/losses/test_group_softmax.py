"""Balanced group softmax: groups, sampling, loss and scores."""

import math

import pytest
import torch

from lvistk.losses.group_softmax import (
    GroupTable,
    group_categories,
    group_softmax_loss,
    group_softmax_scores,
    sample_others,
)
from tests.reference import classification_losses as twin

LOG2 = math.log(2)
CPU = torch.device("cpu")
COUNTS = [3, 2000, 12, 9, 150, 1000]
TABLE = group_categories(COUNTS)
BACKGROUND = len(COUNTS)


def test_an_edge_belongs_to_the_group_above() -> None:
    assert group_categories([9, 10, 99, 100, 999, 1000]).groups == ((0,), (1, 2), (3, 4), (5,))


def test_empty_groups_vanish() -> None:
    table = group_categories([5, 5000, 7])
    assert table.groups == ((0, 2), (1,))
    assert table.widths == (2, 3, 2) and table.num_channels == 3 + 2 + 2


def test_lvis_v1_takes_1209_channels() -> None:
    counts = [1] * 200 + [10] * 412 + [100] * 334 + [1000] * 257
    table = group_categories(counts)
    assert [len(group) for group in table.groups] == [200, 412, 334, 257]
    assert table.num_channels == 1209


@pytest.mark.parametrize("groups", [((0, 1), (1,)), ((0, 2),), ((0,), ())])
def test_a_table_must_hold_each_label_once(groups: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="each label"):
        GroupTable(groups)


def test_slots_and_channels() -> None:
    table = group_categories([5, 5000, 7])
    expected = [[1, 1, 1, 0], [1, 0, 2, 0], [0, 1, 0, 0]]
    assert table.slots(CPU).tolist() == expected
    assert table.channels(CPU).tolist() == [3, 6, 4]


def test_tables_built_in_inference_mode_serve_training() -> None:
    table = group_categories([1, 20, 300, 4000, 5])  # no other test has this one
    with torch.inference_mode():
        group_softmax_scores(torch.zeros(1, table.num_channels), table=table)
        table.slots(CPU)
    logits = torch.zeros(2, table.num_channels, requires_grad=True)
    kept = torch.ones(5, 2, dtype=torch.bool)
    group_softmax_loss(logits, torch.tensor([0, 5]), table=table, kept=kept).backward()
    assert logits.grad is not None


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0, 8.0])
def test_sampling_keeps_all_members_and_beta_times_as_many_others(beta: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        labels = torch.randint(BACKGROUND + 1, (15,), generator=generator)
        kept = sample_others(labels, table=TABLE, generator=generator, beta=beta)
        assert kept[0].all()
        for row, group in zip(kept[1:], TABLE.groups, strict=True):
            member = torch.isin(labels, torch.tensor(group))
            assert row[member].all()
            others = int((~member).sum())
            expected = min(int(beta * int(member.sum())), others)
            assert int(row[~member].sum()) == expected


def test_sampling_of_no_roi() -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert sample_others(none, table=TABLE, generator=torch.Generator()).shape == (5, 0)


def test_sampling_is_uniform_over_others_and_repeats() -> None:
    labels = torch.tensor([0] + [BACKGROUND] * 10)
    generator = torch.Generator().manual_seed(2)
    draws = torch.zeros(11)
    for _ in range(2000):
        draws += sample_others(labels, table=TABLE, generator=generator, beta=2.0)[1]
    assert draws[0] == 2000
    # two of ten others each time: 400 +- 4 standard deviations of 18
    torch.testing.assert_close(draws[1:], torch.full((10,), 400.0), rtol=0, atol=72)
    first, second = (
        sample_others(labels, table=TABLE, generator=torch.Generator().manual_seed(7), beta=2.0)
        for _ in range(2)
    )
    assert first.equal(second)


def test_loss_by_hand() -> None:
    """Zero logits, groups of 2 and 1: a RoI of category 0 pays log 2 (foreground) + log 3 + log 2.

    With both RoIs kept everywhere, each group is the mean of equal terms. Where the second group keeps
    none, it contributes nothing.
    """
    table = group_categories([5, 5000, 7])
    logits = torch.zeros(2, 7, dtype=torch.float64)
    labels = torch.tensor([0, 3])
    kept = torch.ones(3, 2, dtype=torch.bool)
    loss = group_softmax_loss(logits, labels, table=table, kept=kept)
    assert loss.item() == pytest.approx(2 * LOG2 + math.log(3))
    kept[2] = False
    loss = group_softmax_loss(logits, labels, table=table, kept=kept)
    assert loss.item() == pytest.approx(LOG2 + math.log(3))


@pytest.mark.parametrize("seed", range(5))
def test_loss_twin(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(12, TABLE.num_channels, generator=generator, dtype=torch.float64)
    labels = torch.randint(BACKGROUND + 1, (12,), generator=generator)
    weights = torch.rand(12, generator=generator, dtype=torch.float64)
    kept = sample_others(labels, table=TABLE, generator=generator, beta=1.0)
    groups = [list(group) for group in TABLE.groups]
    expected = twin.group_softmax_loss(
        logits.tolist(), labels.tolist(), groups, kept.tolist(), weights.tolist()
    )
    result = group_softmax_loss(logits, labels, table=TABLE, kept=kept, weights=weights)
    torch.testing.assert_close(result.item(), expected)


def test_a_group_without_members_in_the_batch_gets_no_gradient() -> None:
    labels = torch.tensor([1, BACKGROUND])  # category 1 is alone with 5 in the last group
    kept = sample_others(labels, table=TABLE, generator=torch.Generator())
    logits = torch.randn(2, TABLE.num_channels, requires_grad=True)
    group_softmax_loss(logits, labels, table=TABLE, kept=kept).backward()
    assert logits.grad is not None
    last = TABLE.widths[-1]
    assert (logits.grad[:, 2:-last] == 0).all()
    assert (logits.grad[:, -last:] != 0).all() and (logits.grad[:, :2] != 0).all()


@pytest.mark.parametrize("split", [[[0, 1, 2]], [[0], [1, 2]], [[2, 0], [1]], [[0], [1], [2]]])
def test_the_loss_is_the_mean_of_the_images_losses_however_they_are_split(split) -> None:
    """Ranks of unequal numbers of images: each divides by the mean number, as DDP then averages."""
    generator = torch.Generator().manual_seed(3)
    lengths = [2, 4, 3]
    logits = torch.randn(9, TABLE.num_channels, generator=generator, dtype=torch.float64)
    labels = torch.randint(BACKGROUND + 1, (9,), generator=generator)
    kept = sample_others(labels, table=TABLE, generator=generator, beta=1.0)
    images = list(zip(logits.split(lengths), labels.split(lengths), kept.split(lengths, 1)))  # noqa: B905  # 3 each
    alone = [group_softmax_loss(x, y, table=TABLE, kept=k) for x, y, k in images]
    expected = torch.stack(alone).mean()
    ranks = []
    for part in split:
        rows, own, keeps = zip(*(images[i] for i in part), strict=True)
        ranks.append(
            group_softmax_loss(
                torch.cat(rows),
                torch.cat(own),
                table=TABLE,
                kept=torch.cat(keeps, dim=1),
                lengths=[lengths[i] for i in part],
                images=torch.tensor(3 / len(split)),
            )
        )
    torch.testing.assert_close(torch.stack(ranks).mean(), expected)


def test_a_category_without_examples_takes_no_part() -> None:
    table = group_categories([0, 5, 20, 30], edges=(10,), leave_out_unseen=True)
    assert table.groups == ((0, 1), (2, 3)) and table.unseen == (0,)
    logits = torch.randn(3, table.num_channels, generator=torch.Generator().manual_seed(1))
    loud = logits.clone()
    loud[:, table.category_channels[0]] = 50.0
    scores = group_softmax_scores(loud, table=table)
    assert (scores[:, 0] == 0).all()
    torch.testing.assert_close(scores, group_softmax_scores(logits, table=table))
    labels = torch.tensor([1, 0, 4])  # one of them all the same, as a pseudo label may be
    kept = torch.ones(3, 3, dtype=torch.bool)
    quiet = [group_softmax_loss(x, labels, table=table, kept=kept) for x in (logits, loud)]
    torch.testing.assert_close(quiet[0], quiet[1])
    assert quiet[0].isfinite()
    assert group_categories([0, 0], leave_out_unseen=True).unseen == ()  # counts are unknown


@pytest.mark.parametrize("seed", range(3))
def test_scores_twin(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, TABLE.num_channels, generator=generator, dtype=torch.float64)
    groups = [list(group) for group in TABLE.groups]
    expected = [twin.group_softmax_scores(row, groups) for row in logits.tolist()]
    result = group_softmax_scores(logits, table=TABLE)
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64))
    assert group_softmax_scores(logits[:0], table=TABLE).shape == (0, len(COUNTS))


def test_scores_sum_to_foreground_within_a_group() -> None:
    """P(member) + P(others) is 1 in each group: members sum to at most the foreground's share."""
    logits = torch.randn(8, TABLE.num_channels)
    scores = group_softmax_scores(logits, table=TABLE)
    foreground = logits[:, :2].softmax(dim=1)[:, 1]
    for group in TABLE.groups:
        assert (scores[:, list(group)].sum(dim=1) < foreground).all()


def test_a_stage_mean_ignores_a_shift_of_a_whole_group() -> None:
    stages = torch.randn(2, 4, TABLE.num_channels, dtype=torch.float64)
    shifted = stages.clone()
    shifted[1, :, 2 : 2 + TABLE.widths[1]] += 5.0
    plain, moved = (group_softmax_scores(x.mean(dim=0), table=TABLE) for x in (stages, shifted))
    torch.testing.assert_close(moved, plain)

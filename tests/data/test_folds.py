"""Folds of the training images, and samples of all folds but one."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.config.train import AugmentSettings, SamplerSettings
from lvistk.data.index.folds import fold_numbers, in_fold
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.errors import UserError
from tests.data.small_data import small_index


def test_every_image_is_in_one_fold_whatever_the_others() -> None:
    ids = np.arange(-500, 3000)
    folds = np.stack([in_fold(ids, f"{k}/3") for k in (1, 2, 3)])
    assert (folds.sum(axis=0) == 1).all()
    assert np.abs(folds.mean(axis=1) - 1 / 3).max() < 0.02
    some = np.array([7, 2999, -3])
    np.testing.assert_array_equal(fold_numbers(some, 5), fold_numbers(ids, 5)[some + 500])
    with pytest.raises(UserError, match="write 1/3 to 3/3"):
        in_fold(ids, "4/3")


@pytest.mark.parametrize("partners", ["repeat_factor", "uniform"])
def test_no_sample_shows_an_image_that_is_held_out(tmp_path: Path, partners: str) -> None:
    index = small_index(tmp_path, count=8)
    kept = np.arange(8) % 2 == 0
    for i in np.flatnonzero(~kept).tolist():  # a mosaic that took one of these would fail
        index.image_path(i, tmp_path).unlink()
    augment = AugmentSettings(
        short_edges=(48,),
        mosaic_probability=1.0,
        mosaic_size=(64, 64),
        mosaic_partners=partners,  # pyright: ignore[reportArgumentType]  # parametrized
    )
    settings = DataSettings(augment, SamplerSettings(repeat_images=3))
    data = TrainingData(index, tmp_path, settings=settings, kept=kept)
    plan = data.plan(0, batch=1)
    assert set(plan.rows.tolist()) == {0, 2, 4, 6}
    for k in range(len(plan)):
        data.sample(plan.key(k))


def test_a_broken_image_is_replaced_by_one_of_the_same_folds(tmp_path: Path) -> None:
    index = small_index(tmp_path, count=4)
    index.image_path(0, tmp_path).write_bytes(b"no image")
    settings = DataSettings(AugmentSettings(short_edges=(48,)), SamplerSettings(), defects="skip")
    kept = np.array([True, False, False, True])
    data = TrainingData(index, tmp_path, settings=settings, kept=kept)
    plan = data.plan(0, batch=1)
    broken = int(np.flatnonzero(plan.rows == 0)[0])
    sample = data.sample(plan.key(broken))
    assert len(sample.skipped) == 1 and sample.targets.image_id == index.image_ids[3]

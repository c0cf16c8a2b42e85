"""An epoch's plan: batches of like shape where wanted; what is left of a covered instance."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.config.train import AugmentSettings, SamplerSettings
from lvistk.data.augment.copy_paste import uncovered
from tests.data.small_data import small_index, training_data
from tests.data.test_pasting import rectangles


@pytest.mark.parametrize("grouped", [True, False])
def test_batches_are_wide_or_high_where_that_is_wanted(tmp_path: Path, *, grouped: bool) -> None:
    index = small_index(tmp_path, count=40, seed=5)
    sampler = SamplerSettings(repeat="none", aspect_grouping=grouped)
    plan = training_data(index, tmp_path, sampler=sampler).plan(0, batch=4)
    assert sorted(plan.rows.tolist()) == list(range(40))
    wide = (index.widths > index.heights)[plan.rows].reshape(-1, 4)
    pure = int((wide.all(axis=1) | ~wide.any(axis=1)).sum())
    number = int(wide.sum())
    if grouped:
        assert pure >= number // 4 + (40 - number) // 4
    else:
        assert pure < 5  # of ten, drawn at random


def test_exactly_the_wanted_share_is_kept() -> None:
    """Of 10 x 10 pixels, .2 stay: enough for ``min_kept`` .2, and for a ``min_area`` of 20."""
    cover = np.zeros((20, 20), bool)
    cover[2:10] = True
    one = rectangles([(0, 0, 10, 10)], [3])
    for settings, kept in (
        (AugmentSettings(min_kept=0.2), 1),
        (AugmentSettings(min_kept=0.21), 0),
        (AugmentSettings(min_area=20.0), 1),
        (AugmentSettings(min_area=21.0), 0),
    ):
        assert len(uncovered(one, cover, settings)) == kept

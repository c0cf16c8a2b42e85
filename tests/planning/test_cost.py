"""What forecasts count: sizes of batches, masks, and threads beside the model."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.model import FpnSettings, MaskHeadSettings, ModelSettings
from lvistk.config.train import AugmentSettings, LoopSettings
from lvistk.models.mask_iou_head import MaskIouHead
from lvistk.planning.cost import (
    batch_aspect,
    inference_gmacs,
    masks_made,
    training_gmacs,
    training_sides,
)

THREE = AugmentSettings(short_edges=(112, 128, 144), long_edge=256)


def test_a_batch_is_padded_to_its_largest_image() -> None:
    assert training_sides(THREE, aspect=1.5) == (128, 192)
    # of four draws from three sizes the largest is 140.6 px in the mean
    assert training_sides(THREE, aspect=1.5, batch=4) == (160, 224)
    assert training_sides(THREE, aspect=3.0, batch=4) == (160, 256)  # long_edge
    a_range = AugmentSettings(short_edges=(400, 1200), short_edge_mode="range", long_edge=1600)
    assert training_sides(a_range, aspect=1.0, batch=3) == (1024, 1024)  # 1000 in the mean
    model = ModelSettings()
    assert training_gmacs(model, THREE, batch=4) > training_gmacs(model, THREE)


def test_the_largest_of_many_draws_is_the_mean_of_their_maxima() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.choice(THREE.short_edges, (20_000, 4)).max(axis=1).mean()
    assert drawn == pytest.approx(140.6, abs=0.2)
    aspects = rng.uniform(1, 2, 1000)
    assert batch_aspect(aspects, 1) == np.median(aspects)
    assert batch_aspect(aspects, 4) == pytest.approx(1.8, abs=0.03)


def test_masks_by_their_source() -> None:
    views = ViewSettings(short_edges=(400, 800), valid_ranges=((0, 1e9), (0, 1e9)), flip=True)
    made = {
        source: masks_made(views, MergeSettings(max_detections=100, mask_source=source))
        for source in ("found", "selected", "average")
    }
    assert made == {"found": 100, "selected": 200, "average": 400}
    model = ModelSettings()
    few, many = (inference_gmacs(model, views, masks=masks) for masks in (100, 400))
    assert many > few


def test_mask_scoring_counts_with_its_own_widths() -> None:
    settings = {"pool_size": 7, "mask_iou_channels": 24, "mask_iou_fc_channels": 40}
    narrow, without = (
        ModelSettings(fpn=FpnSettings(channels=16), mask=MaskHeadSettings(mask_iou=on, **settings))
        for on in (True, False)
    )
    views = ViewSettings(short_edges=(160,))
    counted = inference_gmacs(narrow, views, masks=3) - inference_gmacs(without, views, masks=3)
    head = MaskIouHead(16, 5, mask_size=7, conv_channels=24, fc_channels=40)
    with FlopCounterMode(display=False) as flops:
        head(torch.rand(3, 16, 7, 7), torch.rand(3, 14, 14), torch.zeros(3, dtype=torch.long))
    assert 1e9 * counted == pytest.approx(flops.get_total_flops() / 2, rel=0.01)


def test_parts_of_a_batch_have_an_image_at_least() -> None:
    assert LoopSettings(batch_size=16, accumulate=4).part_size == 4
    assert LoopSettings(batch_size=1, accumulate=2).part_size == 1


def test_readers_beside_a_gpu_alone_unless_they_are_asked_for() -> None:
    usual, three = PredictSettings(), PredictSettings(workers=3)
    assert [one.workers_on(device) for one in (usual, three) for device in ("cpu", "cuda")] == [
        *(0, 2),
        *(3, 3),
    ]

"""Whose masks are whose: every detection's mask and predicted IoU come from the view that is meant."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lvistk.config.inference import MergeSettings, PredictSettings
from lvistk.inference.candidates import Candidates
from lvistk.inference.image_batches import Image, load_batches
from lvistk.inference.mask_source import make_masks
from lvistk.inference.multi_view import LevelMoves, Masks, MultiViewBatch
from lvistk.inference.views import View
from tests.inference.colours import ColourDetector, paint, write

VIEWS = (View(128, 999), View(256, 999))
"""The images' own size, and twice that."""


class MarkingDetector(ColourDetector):
    """Masks and IoUs are numbers that say view and label: .1 or .2 for the view, .01 for each label."""

    def predict_masks(self, features, boxes, labels):
        view = features[0].shape[-2] / 1280
        return [
            SimpleNamespace(
                probs=(view + 0.01 * kinds.float())[:, None, None].expand(-1, 4, 4),
                iou=2 * (view + 0.01 * kinds.float()),
                moved=0.5 * len(kinds) / max(len(kinds), 1),
            )
            for kinds in labels
        ]


def candidates(sides: list[float], labels: list[int], views: list[int]) -> Candidates:
    return Candidates(
        boxes=np.array([[0, 0, side, side] for side in sides], np.float32).reshape(-1, 4),
        scores=np.full(len(sides), 0.5, np.float32),
        labels=np.array(labels, np.int32),
        views=np.array(views, np.int32),
    )


def batch_of(folder: Path, *, memory: int = 4096) -> MultiViewBatch:
    images = [Image(k, write(folder / f"{k}.png", paint(128, 128)), (128, 128)) for k in range(2)]
    (loaded,) = load_batches(images, views=VIEWS, batch_size=2, workers=0)
    batch = MultiViewBatch(
        model=MarkingDetector(mask_iou=True),
        images=loaded,
        views=VIEWS,
        predict=PredictSettings(feature_memory_mb=memory),
        device=torch.device("cpu"),
        moves=LevelMoves(),
    )
    batch.candidates(MergeSettings(), np.ones(3, np.float32))
    return batch


def marks(masks: list[Masks]) -> list[list[float]]:
    """The mark of each detection of each image; its IoU must carry the same."""
    for one in masks:
        assert one.iou is not None
        np.testing.assert_allclose(one.iou, 2 * one.probs.mean((1, 2)), rtol=1e-6)
    return [one.probs.mean((1, 2), np.float64).round(4).tolist() for one in masks]


DETECTIONS = (
    candidates([50, 100, 50], [0, 1, 2], [0, 0, 1]),
    candidates([100], [2], [1]),
)
"""Of two images. The masks fill less than a quarter of their boxes, so 100 px are wanted below: a side
of 50 px is that large in the second view, one of 100 px in the first."""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("found", [[0.1, 0.11, 0.22], [0.22]]),
        ("selected", [[0.2, 0.11, 0.22], [0.12]]),
        ("average", [[0.15, 0.16, 0.17], [0.17]]),
    ],
)
@pytest.mark.parametrize("memory", [4096, 0])
def test_masks_come_from_the_view_that_is_meant(
    tmp_path: Path, source, expected: list[list[float]], memory: int
) -> None:
    settings = MergeSettings(mask_source=source, mask_sides=(9999, 9999, 100))
    batch = batch_of(tmp_path, memory=memory)
    assert marks(make_masks(batch, DETECTIONS, settings)) == expected


def test_an_image_without_detections_beside_one_with(tmp_path: Path) -> None:
    settings = MergeSettings(mask_sides=(9999, 9999, 100))
    pair = (candidates([], [], []), candidates([100], [2], [1]))
    none, one = make_masks(batch_of(tmp_path), pair, settings)
    assert len(none.probs) == 0
    assert marks([one]) == [[0.12]]

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.errors import UserError
from lvistk.inference.image_batches import Image, LeftOut, load_batches, plan_batches
from lvistk.inference.predict import Predictor, predict_images
from lvistk.inference.views import View, plan_views
from lvistk.masks import rle
from tests.inference.colours import ColourDetector, gt, paint, write

ONE = ViewSettings(short_edges=(160,), long_edge=999)
MANY = ViewSettings(short_edges=(96, 160, 240), long_edge=999, flip=True)
SIZES = ((160, 200), (200, 160), (150, 210), (160, 200), (170, 190))


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    return [
        Image(10 + k, write(tmp_path / f"{k}.png", paint(*size)), size)
        for k, size in enumerate(SIZES)
    ]


def run(images, *, views=ONE, merge=None, predict=None, model=None):
    return list(
        predict_images(
            model or ColourDetector(),
            images,
            views=views,
            merge=merge or MergeSettings(),
            predict=predict or PredictSettings(),
            device="cpu",
        )
    )


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("source", ["selected", "average", "found"])
@pytest.mark.parametrize("views", [ONE, MANY], ids=["one view", "six views"])
def test_boxes_and_masks_come_back_to_the_image(images, views, source) -> None:
    found = run(images, views=views, merge=MergeSettings(mask_source=source, soft_nms="none"))
    assert [d.image_id for d in found] == [10, 11, 12, 13, 14]
    for detections, size in zip(found, SIZES, strict=True):
        assert detections.size == size
        best = detections.select(detections.scores >= 0.7)
        assert sorted(set(best.labels.tolist())) == [0, 1, 2]
        assert best.masks is not None
        for label, box, mask in zip(best.labels, best.boxes, best.masks, strict=True):
            expected = gt(paint(*size), int(label))
            tight = rle.boxes([rle.encode(expected)], size)[0]
            np.testing.assert_allclose(box, tight, atol=2.5)  # a pixel of the smallest view
            assert mask_iou(rle.decode(mask, size) > 0, expected) > 0.85


def test_alone_and_in_a_batch_are_the_same(images) -> None:
    alone = run(images, views=MANY)
    together = run(images, views=MANY, predict=PredictSettings(batch_size=3, workers=0))
    for a, b in zip(alone, together, strict=True):
        assert (a.image_id, a.masks) == (b.image_id, b.masks)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_threads_change_nothing(images, tmp_path: Path, batch_size: int) -> None:
    """Images read ahead and masks pasted behind; one of seven is broken."""
    broken = Image(99, tmp_path / "gone.png", (160, 200))
    listed = [*images[:3], broken, *images[3:]]

    def outcomes(workers: int) -> list:
        settings = PredictSettings(workers=workers, batch_size=batch_size)
        predictor = Predictor(
            ColourDetector(), plan_views(MANY), MergeSettings(), settings, torch.device("cpu")
        )
        return [
            one.reason
            if isinstance(one, LeftOut)
            else (one.image_id, one.boxes.tolist(), one.scores.tolist(), one.masks)
            for one in predictor.outcomes(listed)
        ]

    assert outcomes(0) == outcomes(2)


def test_progress_does_not_wait_for_the_order(images) -> None:
    """Portraits come last in the list and first in the model: nothing is given out before all are through."""
    listed = [*images[2:], images[1]]
    settings = PredictSettings(batch_size=2, workers=0)
    predictor = Predictor(
        ColourDetector(), plan_views(ONE), MergeSettings(), settings, torch.device("cpu")
    )
    counted: list[int] = []
    outcomes = predictor.outcomes(listed, progress=counted.append)
    assert plan_batches(listed, 2)[0][0] != 0
    next(outcomes)
    assert counted == [2, 2]


def test_features_that_do_not_fit_are_computed_again(images) -> None:
    results, runs = [], []
    for megabytes in (4096, 0):
        model = ColourDetector()
        settings = PredictSettings(feature_memory_mb=megabytes)
        results.append(run(images[:1], views=MANY, predict=settings, model=model))
        runs.append(model.backbone_runs)
    assert results[0][0].masks == results[1][0].masks
    assert runs[0] == 6 < runs[1]


def test_valid_ranges_decide_who_may_find(images) -> None:
    views = replace(MANY, flip=False, valid_ranges=((500, 1000), (500, 1000), (0, 45)))
    (found,) = run(images[:1], views=views)
    assert found.labels.tolist() == [1]  # the disk alone is below 45 px
    assert run(images[:1], views=replace(ONE, valid_ranges=((900, 1000),)))[0].masks == []


def test_selected_masks_come_from_the_finer_view(images) -> None:
    """Boxes are found in a coarse view alone; masks wanted large are made in the fine one."""
    views = ViewSettings(
        short_edges=(40, 320), long_edge=999, valid_ranges=((0, 1000), (5000, 9999))
    )
    expected = paint(*SIZES[0])
    accuracy = {}
    for source in ("found", "selected"):
        merge = MergeSettings(mask_source=source, mask_sides=(400, 400, 400))
        (found,) = run(images[:1], views=views, merge=merge)
        assert found.masks is not None
        inside = [rle.decode(mask, SIZES[0]) > 0 for mask in found.masks]
        pairs = zip(inside, found.labels, strict=True)
        accuracy[source] = np.mean([mask_iou(m, gt(expected, int(k))) for m, k in pairs])
    assert accuracy["selected"] > accuracy["found"] + 0.01


def test_rare_scores_are_raised(images) -> None:
    (found,) = run(images[:1], merge=MergeSettings(rare_boost=1.5, soft_nms="none"))
    assert found.labels.tolist() == [1, 0, 2]
    np.testing.assert_allclose(found.scores, [1.2, 0.9, 0.7], rtol=1e-6)


@pytest.mark.parametrize("source", ["selected", "average"])
def test_mask_scores(images, source) -> None:
    model = ColourDetector(mask_iou=True)
    (found,) = run(images[:1], views=MANY, model=model, merge=MergeSettings(mask_source=source))
    assert found.mask_scores is not None
    np.testing.assert_allclose(found.mask_scores, 0.5 * found.scores, rtol=1e-6)
    (empty,) = run(images[:1], model=model, merge=MergeSettings(score_threshold=0.95))
    assert empty.mask_scores is not None
    assert len(empty) == len(empty.mask_scores) == 0


def test_a_model_without_masks(images) -> None:
    (found,) = run(images[:1], model=ColourDetector(masks=False))
    assert found.masks is None
    assert len(found) == 3


def test_modes_of_the_model_return(images) -> None:
    model = ColourDetector()
    model.train()
    seen = []
    for _ in predict_images(
        model,
        images[:2],
        views=ONE,
        merge=MergeSettings(),
        predict=PredictSettings(),
        device="cpu",
    ):
        seen.append(model.training)
    assert seen == [False, False]
    assert model.training


def test_no_image() -> None:
    assert run([]) == []


def test_a_rotated_image(tmp_path: Path) -> None:
    upright = paint(120, 160)
    stored = np.rot90(upright, -1)  # turned back by 90 degrees counter-clockwise
    path = write(tmp_path / "a.png", np.ascontiguousarray(stored))
    (found,) = run([Image(1, path, rotation=90)])
    assert found.size == (120, 160)
    assert found.masks is not None
    hook = found.masks[int(np.flatnonzero(found.labels == 0)[0])]
    assert mask_iou(rle.decode(hook, (120, 160)) > 0, gt(upright, 0)) > 0.9


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named(images, tmp_path: Path, workers: int) -> None:
    path = write(tmp_path / "cut.jpg", paint(160, 200))
    path.write_bytes(path.read_bytes()[:-700])
    broken = [*images, Image(99, path, (160, 200))]
    with pytest.raises(UserError, match=r"cut\.jpg"):
        run(broken, predict=PredictSettings(workers=workers))


def test_batches_hold_images_of_like_shape() -> None:
    sizes = [(100, 200), (200, 100), (101, 200), (200, 101), (100, 201)]
    images = [Image(k, Path("x"), size) for k, size in enumerate(sizes)]
    batches = plan_batches(images, 2)
    assert sorted(k for batch in batches for k in batch) == list(range(5))
    assert sorted(batches[0]) == [1, 3]
    assert plan_batches(images, 1) == [[0], [1], [2], [3], [4]]
    assert plan_batches([], 4) == []


def test_stopping_early_leaves_no_thread(images) -> None:
    batches = load_batches(images, views=[View(96, 999)], batch_size=1, workers=2)
    next(batches)
    batches.close()

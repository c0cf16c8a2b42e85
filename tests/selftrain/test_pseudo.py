"""Pseudo-labelled images as a source: which rows, what labels, and the image turned as it was labelled."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lvistk.config.train import AugmentSettings, SamplerSettings, SelfTrainSettings
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.data.training.image_sources import instances_from_detections
from lvistk.data.training.samplers import subsample
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.selftrain.pseudo import PseudoSource, open_pseudo_source
from lvistk.selftrain.thresholds import category_quantiles, usable
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections
from tests.data.small_data import small_index, training_data

CATEGORIES = Categories.from_table(
    {
        "ids": [3, 5],
        "names": ["a", "b"],
        "frequency": ["f", "r"],
        "image_count": [1, 1],
        "instance_count": [1, 1],
    }
)


def detections(image_id: int, scores: list[float], size: tuple[int, int] = (30, 40)) -> Detections:
    masks = []
    for n in range(len(scores)):
        bitmap = np.zeros(size, np.uint8)
        bitmap[2 : 10 + n, 3:20] = 1
        bitmap[4:6, 5:9] = 0  # a hole
        masks.append(rle.encode(bitmap))
    return Detections(
        image_id=image_id,
        size=size,
        boxes=rle.boxes(masks, size),
        scores=np.array(scores, np.float32),
        labels=np.arange(len(scores), dtype=np.int32) % 2,
        masks=masks,
    )


@pytest.fixture
def store(tmp_path: Path) -> DetectionStore:
    writer = DetectionWriter(tmp_path / "store", categories=CATEGORIES, role="pseudo")
    names = [f"train_0/{n:016x}.jpg" for n in range(3)]
    first = [detections(0, [0.9, 0.4]), detections(1, [0.3]), detections(2, [0.6, 0.5, 0.2])]
    writer.write_shard(0, first, names=names, rotations=[90, 0, 0])
    writer.write_shard(1, [detections(7, [0.8])], names=["flat.jpg"], rotations=[0])
    for name in [*names, "flat.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture = np.full((30, 40, 3), 90, np.uint8)
        if name == names[0]:  # stored turned clockwise by 90 degrees
            picture[:, :5] = 250
            picture = np.ascontiguousarray(np.rot90(picture, -1))
        cv2.imwrite(str(tmp_path / name), picture)
    return DetectionStore.open(tmp_path / "store")


def source_of(store: DetectionStore, pool: Path, **settings: Any) -> PseudoSource:
    return PseudoSource(store, pool, categories=CATEGORIES, settings=SelfTrainSettings(**settings))


def test_thresholds_by_group_and_by_quantile(store: DetectionStore, tmp_path: Path) -> None:
    """Label 0 has the scores .9, .3, .6, .2, .8 and label 1 .4, .5."""
    groups = source_of(store, tmp_path, pseudo_by="group", pseudo_group_scores=(0.1, 0.45, 0.7))
    np.testing.assert_allclose(groups.thresholds, [0.7, 0.1])  # label 1 is rare
    assert [len(groups.image(row).labels.instances) for row in range(len(groups))] == [2, 1, 1]
    quantiles = source_of(store, tmp_path, pseudo_by="category", pseudo_quantile=0.6)
    np.testing.assert_allclose(quantiles.thresholds, [0.8, 0.5], atol=1e-3)
    assert [quantiles.image(row).image_id for row in range(len(quantiles))] == [0, 2, 7]
    with_third = category_quantiles(store, size=3, quantile=0.0)
    np.testing.assert_allclose(with_third, [0.2, 0.4, 0.0], atol=1e-3)


def test_the_best_labels_of_an_image() -> None:
    image = detections(0, [0.5, 0.9, 0.2, 0.9])
    thresholds = np.array([0.1, 0.3], np.float32)
    assert usable(image, thresholds, per_image=0).scores.tolist() == image.scores.tolist()
    best = usable(image, thresholds, per_image=2)
    assert best.scores.tolist() == pytest.approx([0.9, 0.9])
    assert usable(image, thresholds, per_image=1).masks == [(image.masks or [])[1]]


def test_scores_become_weights_and_masks_can_be_left_out(
    store: DetectionStore, tmp_path: Path
) -> None:
    index = small_index(tmp_path / "data", count=6)
    settings = SelfTrainSettings(pseudo_images_per_epoch=1, pseudo_score_weight=True)
    data = training_data(
        index,
        tmp_path / "data",
        augment=AugmentSettings(
            short_edges=(60,), mosaic_probability=1.0, mosaic_size=(90, 90), min_kept=0.0
        ),
        sampler=SamplerSettings(repeat="none"),
        selftrain=settings,
        pseudo=PseudoSource(store, tmp_path, categories=CATEGORIES, settings=settings),
    )
    plan = data.plan(0, batch=1)
    targets = data.sample(plan.key(int(np.flatnonzero(plan.sources)[0]))).targets
    assert targets.weights is not None and len(targets.weights) == len(targets) > 0
    scores = np.array([0.9, 0.6, 0.5, 0.8], np.float32)
    assert np.isin(targets.weights.numpy(), scores).all()
    assert targets.mask_weight == 1.0


def test_images_without_a_good_detection_are_no_part_of_it(
    store: DetectionStore, tmp_path: Path
) -> None:
    source = source_of(store, tmp_path, pseudo_weight=0.25)
    assert len(source) == 3
    images = [source.image(row) for row in range(3)]
    assert [p.image_id for p in images] == [0, 2, 7]
    assert [len(p.labels.instances) for p in images] == [1, 2, 1]
    assert [p.weight for p in images] == [0.25] * 3
    assert [p.rotation for p in images] == [90, 0, 0]
    assert images[1].labels.not_exhaustive.tolist() == [0, 1]
    assert source.wide(np.arange(3)).all()
    box = images[0].labels.instances.boxes[0]
    np.testing.assert_array_equal(box, [3, 2, 20, 10])
    assert images[0].labels.instances.areas[0] == 8 * 17 - 8


def test_nothing_usable_is_an_error(store: DetectionStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pseudo_score"):
        source_of(store, tmp_path, pseudo_score=0.95)
    other = Categories.from_table({**CATEGORIES.to_table(), "ids": [3, 6]})
    with pytest.raises(UserError, match="not the same ids"):
        open_pseudo_source([store.path], tmp_path, categories=other, settings=SelfTrainSettings())


def test_detections_without_masks_are_their_boxes() -> None:
    found = detections(0, [0.9, 0.8])
    found.masks = None
    instances = instances_from_detections(found)
    assert len(instances) == 2
    np.testing.assert_allclose(instances.areas, [17 * 8, 17 * 9])
    assert len(instances_from_detections(Detections.empty(0, (4, 4)))) == 0


def test_pseudo_images_are_mixed_in_turned_and_weighted(
    store: DetectionStore, tmp_path: Path
) -> None:
    index = small_index(tmp_path / "data", count=6)
    data = training_data(
        index,
        tmp_path / "data",
        augment=AugmentSettings(short_edges=(60,), flip=0.0),
        sampler=SamplerSettings(repeat="none", aspect_grouping=False),
        selftrain=SelfTrainSettings(pseudo_images_per_epoch=2, pseudo_weight=0.25),
        pseudo=source_of(store, tmp_path, pseudo_weight=0.25, pseudo_masks=False),
    )
    seen: list[int] = []
    for epoch in range(3):
        plan = data.plan(epoch, batch=1)
        assert len(plan) == 8 and plan.sources.sum() == 2
        assert plan.sources[:4].sum() == 1  # spread evenly
        seen += plan.rows[plan.sources == 1].tolist()
        for k in np.flatnonzero(plan.sources):
            sample = data.sample(plan.key(int(k)))
            assert (sample.targets.loss_weight, sample.targets.mask_weight) == (0.25, 0.0)
            assert sample.targets.weights is None
            assert tuple(sample.image.shape) == (3, 60, 80)
            if sample.targets.image_id == 0:  # upright again: bright at the left
                assert sample.image[:, 30, 3].min() > 200 > sample.image[:, 30, 70].max()
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]  # each once before any comes twice


@pytest.mark.parametrize(("total", "wanted"), [(10, 3), (7, 7), (5, 12), (1, 1), (3, 0)])
def test_subsample_walks_through_everything(total: int, wanted: int) -> None:
    epochs = [subsample(total, wanted, seed=1, epoch=e) for e in range(20)]
    assert all(len(rows) == min(wanted, total) for rows in epochs)
    counts = np.bincount(np.concatenate(epochs), minlength=total) if wanted else np.zeros(total)
    assert counts.max() - counts.min() <= 1
    again = subsample(total, wanted, seed=1, epoch=4)
    np.testing.assert_array_equal(again, epochs[4])

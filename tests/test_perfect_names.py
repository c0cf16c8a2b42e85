"""pipelines/perfect_names.py: which detections get another name, and what that scores."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.masks import rle
from lvistk.structures.detections import Detections
from tests.data.small_data import small_index
from tests.pipeline_script import load_script

script = load_script(Path(__file__).parents[1] / "pipelines" / "perfect_names.py")
SIZE = (20, 30)


def block(left: int, right: int) -> bytes:
    mask = np.zeros(SIZE, np.uint8)
    mask[5:15, left:right] = 1
    return rle.encode(mask)


def detections(*masks: bytes, labels: list[int]) -> Detections:
    count = len(masks)
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)
    return Detections(1, SIZE, np.zeros((count, 4), np.float32), scores, np.array(labels), [*masks])


def test_the_best_detection_on_an_instance_takes_its_name_and_the_others_on_it_go() -> None:
    instances = [block(0, 10), block(20, 30)]
    found = detections(block(0, 8), block(12, 18), block(0, 10), block(26, 30), labels=[3, 4, 0, 2])
    named = script.perfectly_named(found, instances, np.array([0, 1]))
    assert named.labels.tolist() == [0, 4, 2]  # the last has an IoU of 0.4
    np.testing.assert_array_equal(named.scores, found.scores[[0, 1, 3]])
    assert found.labels.tolist() == [3, 4, 0, 2]


def test_without_detections_or_instances_nothing_changes() -> None:
    nothing = Detections.empty(1, SIZE)
    assert len(script.perfectly_named(nothing, [block(0, 10)], np.array([0]))) == 0
    found = detections(block(0, 8), labels=[3])
    assert script.perfectly_named(found, [], np.array([], int)).labels.tolist() == [3]


def test_true_masks_under_wrong_names_score_full_marks_once_named(tmp_path: Path) -> None:
    index: AnnotationIndex = small_index(tmp_path, count=6, empty=1)
    count = len(index.categories.ids)
    images = []
    for place, image_id in enumerate(index.image_ids):
        gt = index.annotations(place)
        labels = (np.asarray(gt.labels) + 1) % count
        scores = np.full(len(labels), 0.5, np.float32)
        boxes = np.asarray(gt.boxes, np.float32)
        masks = index.masks(place)
        images.append(
            Detections(int(image_id), index.size(place), boxes, scores, labels, list(masks))
        )
    store = tmp_path / "wrong.h5"
    DetectionWriter(store, categories=index.categories, role="detections").write_shard(0, images)
    named = tmp_path / "named.h5"
    script.write_named(DetectionStore.open(store), index, named)
    settings = EvaluateSettings(kinds=("segm",), boundary=False, fixed=False)
    wrong, right = (
        evaluate(tmp_path / "train.json", Results(path), settings).metrics["segm"]["AP"]
        for path in (store, named)
    )
    assert wrong < 0.5 and right == pytest.approx(1.0)

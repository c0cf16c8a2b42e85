"""The rules of missing annotations against their twin, and the stage over real files."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lvistk.artifacts import StageFolder, Wanted
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.selftrain.missing import impossible_labels, max_overlap, missing_annotations
from lvistk.stages import filter_missing
from lvistk.stages.specifications.filter_missing import FilterMissingInputs, FilterMissingSettings
from lvistk.structures.detections import Detections
from tests.data.lvis_files import annotation, category, image, write
from tests.reference import missing as twin


def detections(boxes: list, scores: list, labels: list, image_id: int = 1) -> Detections:
    return Detections(
        image_id=image_id,
        size=(60, 80),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        labels=np.array(labels, np.int32),
    )


def test_by_hand() -> None:
    gt = np.array([[0, 0, 10, 10]], np.float32)
    found = detections(
        [[0, 0, 10, 10], [20, 20, 30, 30], [9, 0, 19, 10], [40, 40, 50, 50]],
        [0.9, 0.8, 0.7, 0.3],
        [0, 0, 1, 1],
    )
    np.testing.assert_allclose(max_overlap(found.boxes, gt), [1, 0, 10 / 190, 0], rtol=1e-6)
    kept = missing_annotations(found, gt, score=0.5, max_iou=0.1)
    assert kept.scores.tolist() == pytest.approx([0.8, 0.7])
    kept = missing_annotations(found, gt, score=0.5, max_iou=0.05)
    assert kept.scores.tolist() == pytest.approx([0.8])
    kept = missing_annotations(found, gt, score=0.5, max_iou=0.1, impossible=np.array([0]))
    assert kept.labels.tolist() == [1]


def test_federated_lists() -> None:
    found = impossible_labels(
        negative=np.array([7]), positive=np.array([2, 3, 2]), not_exhaustive=np.array([3, 4])
    )
    assert found.tolist() == [2, 7]


@pytest.mark.parametrize("seed", range(20))
def test_against_the_twin(seed: int) -> None:
    draw = np.random.default_rng(seed)
    corners = draw.integers(0, 30, (12, 2))
    boxes = np.concatenate([corners, corners + draw.integers(0, 12, (12, 2))], axis=1)
    scores = draw.integers(0, 10, 9) / 8
    found = detections(boxes[:9].tolist(), scores.tolist(), draw.integers(0, 5, 9).tolist())
    gt = boxes[9 : 9 + seed % 4].astype(np.float32)
    negative, positive, not_exhaustive = (draw.integers(0, 5, 2) for _ in range(3))
    plain = missing_annotations(found, gt, score=0.5, max_iou=0.2)
    wanted = twin.missing(
        found.boxes.tolist(), scores, found.labels, gt.tolist(), score=0.5, max_iou=0.2
    )
    np.testing.assert_array_equal(plain.boxes, found.boxes[wanted])
    strict = missing_annotations(
        found,
        gt,
        score=0.5,
        max_iou=0.2,
        impossible=impossible_labels(
            negative=negative, positive=positive, not_exhaustive=not_exhaustive
        ),
    )
    wanted = twin.missing(
        found.boxes.tolist(),
        scores,
        found.labels.tolist(),
        gt.tolist(),
        score=0.5,
        max_iou=0.2,
        lists=(negative.tolist(), positive.tolist(), not_exhaustive.tolist()),
    )
    np.testing.assert_array_equal(strict.boxes, found.boxes[wanted])


def test_nothing_found_and_nothing_true() -> None:
    assert (
        len(missing_annotations(detections([], [], []), np.zeros((0, 4)), score=0, max_iou=0)) == 0
    )
    one = detections([[1, 1, 2, 2]], [0.5], [0])
    assert len(missing_annotations(one, np.zeros((0, 4), np.float32), score=0.5, max_iou=0)) == 1


@pytest.fixture
def train(tmp_path: Path) -> Path:
    images = [image(1, not_exhaustive_category_ids=[2]), image(2, neg_category_ids=[9]), image(3)]
    return write(tmp_path / "train.json", images, [annotation(1, 1, 2), annotation(2, 2, 5)])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StageFolder]:
    out = tmp_path / "out"
    with closing(StageFolder.open(out, Wanted("filter-missing", {}, {}))) as stage:
        yield stage


def store(path: Path, train: Path) -> Path:
    writer = DetectionWriter(path, categories=read_categories(train), role="detections")
    near, far = [10, 10, 20, 20], [40, 40, 50, 50]
    writer.write_shard(0, [detections([near, far], [0.9, 0.8], [0, 0], 1)])
    writer.write_shard(1, [detections([far, far, far], [0.9, 0.8, 0.7], [0, 1, 2], 2)])
    return path


@pytest.mark.parametrize(("rule", "kept"), [("paper", [1, 3]), ("federated", [1, 1])])
def test_the_stage(
    rule: str, kept: list[int], tmp_path: Path, train: Path, folder: StageFolder
) -> None:
    found = store(tmp_path / "detections", train)
    summary = filter_missing.run(
        FilterMissingSettings(rule=rule),  # pyright: ignore[reportArgumentType]  # parametrized
        FilterMissingInputs(detections=found, train=(train,)),
        folder,
    )
    per_category = summary.pop("missing_per_category")
    assert summary == {"photos": 2, "confident": 5, "missing": sum(kept)}
    result = DetectionStore.open(folder.file("missing.h5"))
    assert result.role == "missing"
    assert [len(image) for image in result] == kept
    labels = np.concatenate([image.labels for image in result])
    ids = result.category_ids[labels].tolist()
    assert per_category == {str(number): ids.count(number) for number in sorted(set(ids))}


def test_another_label_set(tmp_path: Path, train: Path, folder: StageFolder) -> None:
    found = store(tmp_path / "detections", train)
    other = write(tmp_path / "other.json", [image(1)], [], [category(1, "a")])
    with pytest.raises(UserError, match="3 categories and the annotations have 1"):
        filter_missing.run(
            FilterMissingSettings(),
            FilterMissingInputs(detections=found, train=(other,)),
            folder,
        )

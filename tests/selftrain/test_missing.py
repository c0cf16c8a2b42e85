"""The rules of missing annotations against their twin, and the stage over real files."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lvistk.artifacts import StageFolder, Wanted
from lvistk.config.missing import MissingRule
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.masks.polygons import starts
from lvistk.selftrain.missing import Detected, Evidence, Known, Lists, evidence, is_missing
from lvistk.stages import filter_missing
from lvistk.stages.specifications.filter_missing import (
    FILTER_MISSING,
    FilterMissingInputs,
    FilterMissingSettings,
)
from lvistk.structures.detections import Detections
from tests.data.lvis_files import annotation, category, image, write
from tests.reference import missing as twin

NONE = np.zeros(0, np.int64)
PAPER = MissingRule(rule="paper", score=0.5, not_exhaustive_score=None, max_iou=0.1)


def detections(boxes: list, scores: list, labels: list, image_id: int = 1) -> Detections:
    return Detections(
        image_id=image_id,
        size=(60, 80),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        labels=np.array(labels, np.int32),
    )


def known(
    boxes: list, labels: list, *, negative: Sequence[int] = (), not_exhaustive: Sequence[int] = ()
) -> Known:
    return Known.of_image(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        negative=np.array(negative, np.int32),
        not_exhaustive=np.array(not_exhaustive, np.int32),
    )


def kept(detected: Detections, image: Known, **changes: Any) -> list[int]:
    keep = is_missing(evidence(Detected.of_image(detected), image), replace(PAPER, **changes))
    return np.flatnonzero(keep).tolist()


def test_by_hand() -> None:
    image = known([[0, 0, 10, 10]], [0])
    detected = detections(
        [[0, 0, 10, 10], [20, 20, 30, 30], [9, 0, 19, 10], [40, 40, 50, 50]],
        [0.9, 0.8, 0.7, 0.3],
        [0, 0, 1, 1],
    )
    proof = evidence(Detected.of_image(detected), image)
    np.testing.assert_allclose(proof.same_iou, [1, 0, 0, 0])
    np.testing.assert_allclose(proof.other_iou, [0, 0, 10 / 190, 0], rtol=1e-6)
    np.testing.assert_allclose(proof.iof, [1, 0, 0.1, 0], rtol=1e-6)
    assert kept(detected, image) == [1, 2]
    assert kept(detected, image, max_iou=0.05) == [1]
    assert kept(detected, image, max_iof=0.05) == [1]
    assert kept(detected, image, rule="federated") == [2]  # all of category 0 are annotated
    assert kept(detected, known([], [], negative=[0]), rule="federated") == [2]


def test_categories_that_are_not_exhaustively_annotated() -> None:
    """Instances of them are known to be missing, so that a lower score is enough."""
    detected = detections([[20, 20, 30, 30]] * 2, [0.4, 0.4], [0, 1])
    image = known([[0, 0, 10, 10]], [0], not_exhaustive=[0])
    assert kept(detected, image, rule="federated") == []
    assert kept(detected, image, rule="federated", not_exhaustive_score=0.3) == [0]
    assert kept(detected, image, rule="federated", score=0.3, not_exhaustive_score=0.5) == [1]
    assert kept(detected, image, not_exhaustive_score=0.3) == []  # the paper's rule reads no list


def test_overlap_with_another_category() -> None:
    """A sure detection may overlap what is annotated as something else, within the image's lists."""
    box = [0, 0, 10, 10]
    detected = detections([box] * 3, [0.9, 0.9, 0.7], [0, 1, 1])
    image = known([box], [0])
    assert kept(detected, image) == []
    assert kept(detected, image, other_iou=1.0) == [1]
    assert kept(detected, image, other_iou=1.0, other_score=0.0) == [1, 2]
    assert kept(detected, image, other_iou=0.9) == []
    refused = known([box], [0], negative=[1])
    assert kept(detected, refused, rule="federated", other_iou=1.0) == []


@pytest.mark.parametrize("seed", range(20))
def test_against_the_twin(seed: int) -> None:
    draw = np.random.default_rng(seed)
    corners = draw.integers(0, 30, (12, 2))
    boxes = np.concatenate([corners, corners + draw.integers(0, 12, (12, 2))], axis=1)
    scores = draw.integers(0, 10, 9) / 8
    detected = detections(boxes[:9].tolist(), scores.tolist(), draw.integers(0, 5, 9).tolist())
    gt = boxes[9 : 9 + seed % 4]
    labels = draw.integers(0, 5, len(gt)).tolist()
    negative, not_exhaustive = (draw.integers(0, 5, 2).tolist() for _ in range(2))
    image = known(gt.tolist(), labels, negative=negative, not_exhaustive=not_exhaustive)
    numbers = {"score": 0.5, "max_iou": 0.2}
    more = {"max_iof": 0.6, "not_exhaustive_score": 0.3, "other_iou": 0.5, "other_score": 0.7}
    for rule in ("paper", "federated"):
        for settings in (numbers, numbers | more):
            wanted = twin.missing(
                detected.boxes.tolist(),
                detected.scores.tolist(),
                detected.labels.tolist(),
                list(zip(gt.tolist(), labels, strict=True)),
                lists=(negative, not_exhaustive),
                federated=rule == "federated",
                **settings,
            )
            assert kept(detected, image, rule=rule, **settings) == wanted


def test_many_images_at_once_are_as_each_alone() -> None:
    """Images without detections or annotations among them, and labels that differ in size."""
    draw = np.random.default_rng(1)
    images = []
    for size in (3, 0, 5, 0, 2):
        corner = draw.integers(0, 20, (9, 2))
        boxes = np.concatenate([corner, corner + draw.integers(1, 15, (9, 2))], axis=1).tolist()
        count, labels = int(draw.integers(0, 5)), draw.integers(0, 4, 9).tolist()
        lists = {"negative": [1] * (size > 2), "not_exhaustive": [0] * (size > 3)}
        image = known(boxes[4 : 4 + count], labels[4 : 4 + count], **lists)
        images.append((detections(boxes[:size], [0.6] * size, labels[:size]), image))
    alone = [evidence(Detected.of_image(a), b) for a, b in images]
    detected = Detected(
        *(
            np.concatenate([getattr(a, n) for a, _ in images])
            for n in ("boxes", "scores", "labels")
        ),
        row=starts([len(a) for a, _ in images]),
    )
    joined = Known(
        np.concatenate([b.boxes for _, b in images]),
        *(
            Lists(
                np.concatenate([getattr(b, name).labels for _, b in images]),
                starts([len(getattr(b, name).labels) for _, b in images]),
            )
            for name in ("annotated", "negative", "not_exhaustive")
        ),
    )
    together, each = evidence(detected, joined), Evidence.concatenate(alone)
    for field in fields(Evidence):
        np.testing.assert_array_equal(getattr(together, field.name), getattr(each, field.name))


def test_nothing_detected_and_nothing_annotated() -> None:
    assert kept(detections([], [], []), known([], [])) == []
    one = detections([[1, 1, 2, 2]], [0.5], [0])
    assert kept(one, known([], []), max_iou=0.0, rule="federated") == [0]


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


@pytest.mark.parametrize(("rule", "count"), [("paper", [1, 3]), ("federated", [1, 1])])
def test_the_stage(
    rule: str, count: list[int], tmp_path: Path, train: Path, folder: StageFolder
) -> None:
    detected = store(tmp_path / "detections", train)
    summary = filter_missing.run(
        FilterMissingSettings(rule=rule),  # pyright: ignore[reportArgumentType]  # parametrized
        FilterMissingInputs(detections=(detected,), train=(train,)),
        folder,
    )
    per_category = summary.pop("missing_per_category")
    assert summary == {"photos": 2, "confident": 5, "missing": sum(count)}
    result = DetectionStore.open(folder.file("missing.h5"))
    assert result.role == "missing"
    assert [len(image) for image in result] == count
    labels = np.concatenate([image.labels for image in result])
    ids = result.category_ids[labels].tolist()
    assert per_category == {str(number): ids.count(number) for number in sorted(set(ids))}
    rows = json.loads(folder.file("per_category.json").read_text())
    assert [row["detections"] for row in rows] == [ids.count(row["id"]) for row in rows]
    assert [row["images"] for row in rows if row["id"] == 2] == [2]


def test_stores_of_several_hosts_are_one(tmp_path: Path, train: Path, folder: StageFolder) -> None:
    whole = store(tmp_path / "detections", train)
    parts = tuple(tmp_path / f"host{k}" for k in range(2))
    for k, part in enumerate(parts):
        part.mkdir()
        (whole / f"{k:05d}.h5").rename(part / f"{k:05d}.h5")
    given = FilterMissingInputs(detections=parts, train=(train,))
    assert filter_missing.run(FilterMissingSettings(rule="paper"), given, folder)["missing"] == 4
    with pytest.raises(UserError, match="duplicate image id 1"):
        DetectionStore.open(parts[0], parts[0])


def test_no_sheet_of_nothing(tmp_path: Path, train: Path, folder: StageFolder) -> None:
    detected = store(tmp_path / "detections", train)
    given = FilterMissingInputs(detections=(detected,), train=(train,), train_images=tmp_path)
    summary = filter_missing.run(FilterMissingSettings(rule="paper", score=1.0), given, folder)
    assert summary["missing"] == 0 and not folder.file("sheet.jpg").exists()


def test_against_fuller_annotations(tmp_path: Path, train: Path, folder: StageFolder) -> None:
    """Image 1 hides a cat at the far corner, and image 2 nothing: one of the four kept is right."""
    far = [[40.0, 40, 50, 40, 50, 50, 40, 50]]
    images = [image(1), image(2)]
    hidden = annotation(3, 1, 2, segmentation=far, bbox=[40, 40, 10, 10])
    annotations = [annotation(1, 1, 2), annotation(2, 2, 5), hidden]
    full = write(tmp_path / "full.json", images, annotations)
    detected = store(tmp_path / "detections", train)
    given = FilterMissingInputs(detections=(detected,), train=(train,), against=full)
    summary = filter_missing.run(FilterMissingSettings(rule="paper"), given, folder)
    assert (summary["hidden"], summary["precision"], summary["recall"]) == (1, 0.25, 1.0)
    value = json.loads(folder.file("against.json").read_text())
    rows = {(r["rule"], r["overlap"], r["score"]): r for r in value["rules"]}
    assert rows["federated", "IoU .1", 0.5]["precision"] == 0.5
    assert rows["federated", "IoU .1", 0.9]["precision"] is not None
    assert [row["name"] for row in value["per_category"] if row["hidden"]] == ["cat"]
    assert folder.file("against.png").read_bytes().startswith(b"\x89PNG")
    same = FilterMissingInputs(detections=(detected,), train=(train,), against=train)
    with pytest.raises(UserError, match="has no instance that"):
        filter_missing.run(FilterMissingSettings(), same, folder)


def test_another_label_set(tmp_path: Path, train: Path) -> None:
    detected = store(tmp_path / "detections", train)
    other = write(tmp_path / "other.json", [image(1)], [], [category(1, "a")])
    given = FilterMissingInputs(detections=(detected,), train=(other,))
    with pytest.raises(UserError, match="3 categories and the annotations have 1"):
        FILTER_MISSING.check(FilterMissingSettings(), given, tmp_path / "out")

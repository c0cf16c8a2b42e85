"""The index gives back what the JSON says, leaves out and names what is broken."""

import gzip
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.config.train import AugmentSettings, LoaderSettings, SamplerSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.defects import CORRECTIONS, DEFECTS
from lvistk.data.index.lvis_json import read_categories
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.data.training.loader import TrainLoader
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.structures.detections import Detections
from tests.data.lvis_files import SQUARE, annotation, category, image, write
from tests.shared_data import REALDATA, needs_realdata


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_fields_by_hand(tmp_path: Path, cache: Path) -> None:
    ring = {"size": [60, 80], "counts": rle.encode(np.pad(np.ones((4, 4)), 10)[:60, :80]).decode()}
    bitmap = np.zeros((60, 80))
    bitmap[30:40, 50:54] = 1
    ring["counts"] = rle.encode(bitmap).decode()
    two_parts = [[1, 1, 5, 1, 5, 5], [30, 30, 40, 30, 40, 40, 30, 40]]
    path = write(
        tmp_path / "a.json",
        [image(7, neg_category_ids=[9], not_exhaustive_category_ids=[2, 5]), image(3), image(8)],
        [
            annotation(1, 3, 5),
            annotation(2, 7, 2, segmentation=two_parts, bbox=[1, 1, 39, 39], area=108),
            annotation(4, 3, 2, segmentation=ring, bbox=[50, 30, 4, 10], area=None),
        ],
    )
    index = AnnotationIndex.open([path], cache=cache)
    assert index.image_ids.tolist() == [7, 3, 8]
    assert index.row.tolist() == [0, 1, 3, 3]
    assert index.categories.ids.tolist() == [2, 5, 9]
    assert index.categories.names == ("cat", "cup", "zebra")
    assert index.categories.frequency.tolist() == ["f", "c", "r"]
    assert index.categories.image_count.tolist() == [2, 1, 0]
    assert index.categories.instance_count.tolist() == [2, 1, 0]
    assert index.negative_labels(0).tolist() == [2]
    assert index.not_exhaustive_labels(0).tolist() == [0, 1]
    assert index.negative_labels(1).tolist() == []
    first, second, third = (index.annotations(i) for i in range(3))
    assert first.boxes.tolist() == [[1, 1, 40, 40]]
    assert [part.tolist() for part in first.polygons.parts(0)] == [
        [[1, 1], [5, 1], [5, 5]],
        [[30, 30], [40, 30], [40, 40], [30, 40]],
    ]
    assert index.ids(1).tolist() == [1, 4]
    assert second.labels.tolist() == [1, 0]
    assert second.areas.tolist() == [100, 40]  # the second counted, the file has none
    assert index.areas_computed == 1
    assert list(second.bitmaps) == [1]
    np.testing.assert_array_equal(rle.decode(index.masks(1)[1], (60, 80)), bitmap)
    assert len(third) == 0 and third.boxes.shape == (0, 4) and len(third.polygons) == 0
    np.testing.assert_allclose(index.area_ratios(), [108 / 39**2, 1, 1], rtol=1e-6)
    assert index.index_of(8) == 2
    with pytest.raises(UserError, match="no image with id 5"):
        index.index_of(5)


@needs_realdata
@pytest.mark.parametrize("name", ["lvis_v1_real_train", "coco_as_lvis_v1_train"])
def test_real_files_are_given_back(name: str, cache: Path) -> None:
    path = REALDATA / "annotations" / f"{name}.json"
    index = AnnotationIndex.open([path], cache=cache)
    gt = json.loads(path.read_text())
    by_image: dict[int, list] = {}
    for record in gt["annotations"]:
        by_image.setdefault(record["image_id"], []).append(record)
    assert len(index.labels) == len(gt["annotations"])
    off: list[float] = []  # relative differences of the areas; COCO's come from other masks
    tolerance = 0.03 if name.startswith("lvis") else 1.0  # COCO's boxes: whole pixels
    for i, record in enumerate(gt["images"]):
        assert index.image_ids[i] == record["id"]
        assert index.image_path(i, REALDATA / "images").is_file()
        found = index.annotations(i)
        wanted = by_image.get(record["id"], [])
        assert index.ids(i).tolist() == [a["id"] for a in wanted]
        ids = index.categories.ids[found.labels].tolist()
        assert ids == [a["category_id"] for a in wanted]
        assert set(index.categories.ids[index.negative_labels(i)]) == set(
            record["neg_category_ids"]
        )
        for g, a in enumerate(wanted):
            x, y, w, h = a["bbox"]
            np.testing.assert_allclose(found.boxes[g], [x, y, x + w, y + h], atol=tolerance)
            off.append(abs(found.areas[g] - a["area"]) / a["area"])
            for part, numbers in zip(found.polygons.parts(g), a["segmentation"], strict=True):
                np.testing.assert_allclose(part.reshape(-1), numbers, rtol=1e-6)
    assert np.mean(np.array(off) < 0.01) > (0.99 if name.startswith("lvis") else 0.8)
    assert index.left_out_count == 0


BROKEN = {
    "wrong_type": ({**annotation(9, 3, 5), "image_id": "3"}, "image_id '3' is text"),
    "unknown_image": (annotation(9, 33, 5), "image 33"),
    "unknown_category": (annotation(9, 3, 55), "category 55"),
    "crowd": (annotation(9, 3, 5, iscrowd=1), "crowd"),
    "degenerate_polygon": (annotation(9, 3, 5, segmentation=[[1, 1, 5, 5]]), "2 points"),
    "empty_mask": (annotation(9, 3, 5, segmentation=[[1, 1, 5, 5, 9, 9]]), "no area"),
    "broken_rle": (
        annotation(9, 3, 5, segmentation={"size": [60, 80], "counts": "0P"}),
        "cannot be decoded",
    ),
    "id_twice": (annotation(1, 3, 5), "twice"),
}
CORRECTED_BY_KIND = {
    "bad_part": (annotation(9, 3, 5, segmentation=[*SQUARE, [1, 1, 5, 5]]), "1 of its parts"),
    "degenerate_box": (annotation(9, 3, 5, bbox=[10, 10, 0, 5]), "no area"),
    "box_outside": (annotation(9, 3, 5, bbox=[10, 10, 90, 90]), "leaves the image"),
    "box_far": (annotation(9, 3, 5, bbox=[40, 40, 10, 10]), "far from its mask"),
    "area_wrong": (annotation(9, 3, 5, area=1.0), "its area is 1, that of its mask 100"),
}


def test_every_kind_of_defect_is_tried() -> None:
    assert {*BROKEN, *CORRECTED_BY_KIND, "no_name"} == {*DEFECTS}
    assert {*CORRECTED_BY_KIND} == {*CORRECTIONS}


@pytest.mark.parametrize("kind", CORRECTED_BY_KIND)
def test_boxes_and_areas_are_those_of_the_masks(
    kind: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture
) -> None:
    wrong, text = CORRECTED_BY_KIND[kind]
    path = write(tmp_path / "a.json", [image(3)], [annotation(1, 3, 2), wrong])
    index = AnnotationIndex.open([path], cache=cache)
    assert [(d.id, d.kind, d.corrected) for d in index.defects] == [(9, kind, True)]
    assert text in index.defects[0].text
    assert (index.defect_count, index.left_out_count) == (1, 0)
    assert index.boxes.tolist() == [[10, 10, 20, 20]] * 2
    assert index.areas.tolist() == [100, 100]
    index.warn_of_defects()
    told = capsys.readouterr().err
    assert "of their masks instead of the file's" in told and f"1 {kind}" in told


@pytest.mark.parametrize(
    ("segmentation", "size", "kind", "text"),
    [
        ([[0, 0, 3e6, 0, 9, 9]], (60, 80), "degenerate_polygon", "beyond 1000000 px"),
        ({"size": [65536] * 2, "counts": [2**31] * 2}, (2**16, 2**16), "broken_rle", "too large"),
        ({"size": [65536] * 2, "counts": "0"}, (2**16, 2**16), "broken_rle", "too large"),
    ],
)
def test_masks_larger_than_any_image_are_defects(
    segmentation: object, size: tuple[int, int], kind: str, text: str, tmp_path: Path, cache: Path
) -> None:
    picture = {**image(3), "height": size[0], "width": size[1]}
    bad = annotation(9, 3, 5, segmentation=segmentation)
    path = write(tmp_path / "a.json", [picture], [annotation(1, 3, 2), bad])
    index = AnnotationIndex.open([path], cache=cache, defects="skip")
    assert [(d.id, d.kind) for d in index.defects] == [(9, kind)]
    assert text in index.defects[0].text


@pytest.mark.parametrize("segmentation", [SQUARE, "rle"])
def test_a_record_without_box_and_area_has_those_of_its_mask(
    segmentation: object, tmp_path: Path, cache: Path
) -> None:
    bitmap = np.zeros((60, 80))
    bitmap[10:20, 10:20] = 1
    if segmentation == "rle":
        segmentation = {"size": [60, 80], "counts": rle.encode(bitmap).decode()}
    lacking = annotation(9, 3, 5, bbox=None, area=None, segmentation=segmentation)
    path = write(tmp_path / "a.json", [image(3)], [lacking])
    index = AnnotationIndex.open([path], cache=cache)
    assert (index.boxes.tolist(), index.areas.tolist()) == ([[10, 10, 20, 20]], [100])
    assert (index.defect_count, index.areas_computed) == (0, 1)


def test_areas_of_overlapping_crossing_and_leaving_polygons(tmp_path: Path, cache: Path) -> None:
    square = SQUARE[0]
    shifted = [v + 5 * (k % 2 == 0) for k, v in enumerate(square)]
    bow_tie = [10, 10, 30, 30, 30, 10, 10, 31]
    leaving = [70, 50, 90, 50, 90, 70, 70, 70]
    masks = [[square, shifted], [square, square], [bow_tie], [leaving]]
    records = [
        annotation(n, 3, 5, segmentation=mask, area=None if n < 3 else 1000.0, bbox=None)
        for n, mask in enumerate(masks, 1)
    ]
    index = AnnotationIndex.open([write(tmp_path / "a.json", [image(3)], records)], cache=cache)
    np.testing.assert_allclose(index.areas[:2], [150, 100], rtol=0.02)
    assert 150 < index.areas[2] < 250  # two triangles of 100 px, whose signed areas cancel
    np.testing.assert_allclose(index.areas[3], 100, rtol=0.2)
    np.testing.assert_allclose(index.boxes[3], [70, 50, 80, 60])
    assert [(d.id, d.kind) for d in index.defects] == [(3, "area_wrong"), (4, "area_wrong")]


FORMS = {
    "flat": SQUARE[0],
    "points": [[10, 10], [20, 10], [20, 20], [10, 20]],
    "deep": [[[10, 10], [20, 10], [20, 20], [10, 20]]],
    "beside an empty part": [[], *SQUARE],
}


@pytest.mark.parametrize("copies", [1, 10_000])  # few bytes and many take different ways
@pytest.mark.parametrize("form", FORMS)
def test_polygons_are_read_in_every_form(
    form: str, copies: int, tmp_path: Path, cache: Path
) -> None:
    records = [annotation(n, 3, 5, segmentation=FORMS[form]) for n in range(copies)]
    index = AnnotationIndex.open(
        [write(tmp_path / "a.json", [image(3)], [*records, annotation(copies, 3, 5)])], cache=cache
    )
    assert np.unique(index.areas).tolist() == [100]
    assert len(index.areas) == copies + 1
    assert {d.kind for d in index.defects} <= {"bad_part"}


@pytest.mark.parametrize("crowd", [False, None, 0.0, "0", "absent"])
def test_values_written_differently_are_read(crowd: object, tmp_path: Path, cache: Path) -> None:
    record = annotation(1.0, 3.0, 5, iscrowd=crowd)
    if crowd == "absent":
        del record["iscrowd"]
    pictured = image(3, coco_url=None, file_name="a.jpg", flickr_url=None, height=60.0)
    pictured["neg_category_ids"] = None
    index = AnnotationIndex.open([write(tmp_path / "a.json", [pictured], [record])], cache=cache)
    assert index.annotation_ids.tolist() == [1]
    assert index.file_name(0) == "a.jpg"
    assert index.defect_count == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gzip"])
def test_files_in_other_encodings(encoding: str, tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "a.json", [image(3)], [annotation(1, 3, 5)])
    text = path.read_text()
    coded = gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding)
    path.write_bytes(coded)
    assert AnnotationIndex.open([path], cache=cache).annotation_ids.tolist() == [1]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_defect_fails_or_is_left_out(
    kind: str, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture
) -> None:
    bad, text = BROKEN[kind]
    path = write(tmp_path / "a.json", [image(3)], [annotation(1, 3, 2), bad])
    with pytest.raises(UserError, match=rf"a\.json: annotation {bad['id']}: .*{text}"):
        AnnotationIndex.open([path], cache=cache)
    index = AnnotationIndex.open([path], cache=cache, defects="skip")
    assert kind in {defect.kind for defect in index.defects}
    assert all(defect.id == bad["id"] for defect in index.defects)
    index.warn_of_defects()
    assert f"1 {kind}" in capsys.readouterr().err
    assert index.annotation_ids.tolist() == [1]
    assert index.labels.tolist() == [0]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5]],
        [],
        [[]],
        "text",
        None,
        [[1, 2, "3", 4, 5, 6]],
        [[1e39, 1, 5, 1, 5, 5]],
        {"size": [60, 80]},
        {"size": [60, 81], "counts": [4860]},
        {"size": [60, 80], "counts": [10, 10]},
        {"size": [60, 80], "counts": "é"},
        {"size": [60, 80], "counts": rle.encode(np.eye(10)).decode()},
    ],
)
def test_masks_that_are_none(segmentation: object, tmp_path: Path, cache: Path) -> None:
    bad = annotation(9, 3, 5, segmentation=segmentation)
    path = write(tmp_path / "a.json", [image(3)], [annotation(1, 3, 2), bad])
    index = AnnotationIndex.open([path], cache=cache, defects="skip")
    assert [defect.id for defect in index.defects] == [9]
    assert index.annotation_ids.tolist() == [1]


def test_broken_images_take_their_annotations_along(tmp_path: Path, cache: Path) -> None:
    images = [
        image(1),
        image(2, coco_url=""),
        image(3, height=0),
        image(1, width=90),
        image(4, neg_category_ids=[2, 77]),
    ]
    path = write(tmp_path / "a.json", images, [annotation(n, n, 2) for n in (1, 2, 3, 4)])
    index = AnnotationIndex.open([path], cache=cache, defects="skip")
    assert [(d.section, d.id, d.kind) for d in index.defects] == [
        ("image", 2, "no_name"),
        ("image", 3, "wrong_type"),
        ("image", 1, "id_twice"),
        ("image", 4, "unknown_category"),
    ]
    assert index.image_ids.tolist() == [1, 4]
    assert index.annotation_ids.tolist() == [1, 4]
    assert index.widths.tolist() == [80, 80]
    assert index.negative_labels(1).tolist() == [0]


def test_several_files(tmp_path: Path, cache: Path) -> None:
    a = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    more = [category(2, "cat"), category(3, "dog")]
    b = write(tmp_path / "b.json", [image(5)], [annotation(1, 5, 3)], more)
    index = AnnotationIndex.open([a, b], cache=cache)
    assert index.categories.ids.tolist() == [2, 3, 5, 9]
    assert index.labels.tolist() == [0, 1]
    assert index.image_source.tolist() == [0, 1]
    clash = write(tmp_path / "c.json", [image(6)], [], [category(2, "dog")])
    with pytest.raises(UserError, match=r"c\.json: category 2 is 'dog', but 'cat' in .*a\.json"):
        AnnotationIndex.open([a, clash], cache=cache)
    rarer = write(tmp_path / "d.json", [image(6)], [], [category(2, "cat", "r")])
    with pytest.raises(UserError, match=r"d\.json: category 2 has frequency 'r'"):
        AnnotationIndex.open([a, rarer], cache=cache)
    twice = write(tmp_path / "e.json", [image(1, coco_url="", file_name="other.jpg")], [])
    with pytest.raises(UserError, match=r"e\.json: image id 1 is also in .*a\.json .*other\.jpg"):
        AnnotationIndex.open([a, twice], cache=cache)


def test_images_are_found_as_every_version_names_them(tmp_path: Path, cache: Path) -> None:
    names = ["COCO_train2014_000000000002.jpg", "sub/x.jpg"]
    images = [image(1), *(image(n + 2, coco_url="", file_name=f) for n, f in enumerate(names))]
    index = AnnotationIndex.open([write(tmp_path / "a.json", images, [])], cache=cache)
    root = tmp_path / "images"
    (root / "train2017").mkdir(parents=True)
    (root / "sub").mkdir()
    for name in ("train2017/000000000001.jpg", "000000000002.jpg", "sub/x.jpg"):
        (root / name).write_bytes(b"")
    assert index.file_name(0) == "train2017/000000000001.jpg"
    assert index.image_path(0, root) == root / "train2017/000000000001.jpg"
    assert index.image_path(0, root / "train2017") == root / "train2017/000000000001.jpg"
    assert index.image_path(1, root) == root / "000000000002.jpg"
    assert index.image_path(2, root) == root / "sub/x.jpg"
    (root / "sub/x.jpg").unlink()
    with pytest.raises(UserError, match=r"image sub/x\.jpg of image 3"):
        index.image_path(2, root)


def test_a_list_of_images_alone_is_an_index(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "test_dev.json"
    path.write_text(json.dumps({"images": [image(4)], "categories": [category(1, "a")]}))
    index = AnnotationIndex.open([path], cache=cache)
    assert len(index) == 1 and len(index.annotations(0)) == 0 and len(index.area_ratios()) == 0
    empty = write(tmp_path / "empty.json", [], [], [])
    assert len(AnnotationIndex.open([empty], cache=cache)) == 0


def test_it_is_built_once_and_again_when_the_file_changes(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    index = AnnotationIndex.open([path], cache=cache)
    built = (index.folder / "arrays.json").stat().st_mtime_ns
    again = AnnotationIndex.open([path], cache=cache)
    assert again.folder == index.folder
    assert (again.folder / "arrays.json").stat().st_mtime_ns == built
    write(path, [image(1)], [annotation(1, 1, 5)])  # of the same length
    changed = AnnotationIndex.open([path], cache=cache)
    assert changed.labels.tolist() == [1]
    assert index.labels.tolist() == [0]
    copied = pickle.loads(pickle.dumps(changed))
    assert copied.labels.tolist() == [1]
    assert len(pickle.dumps(changed)) < 1000


def test_an_annotation_names_images_of_its_own_file(tmp_path: Path, cache: Path) -> None:
    a = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    b = write(tmp_path / "b.json", [image(5)], [annotation(1, 1, 2)])
    with pytest.raises(UserError, match=r"b\.json: annotation 1: image 1 is not in the file"):
        AnnotationIndex.open([a, b], cache=cache)


@pytest.mark.parametrize("masks", [True, False])
def test_a_detection_store_is_a_source(masks: bool, tmp_path: Path, cache: Path) -> None:
    bitmap = np.zeros((60, 80))
    bitmap[20:30, 10:20] = 1
    bitmap[20:25, 10:15] = 0
    found = Detections(
        image_id=70,
        size=(60, 80),
        boxes=np.array([[10, 20, 20, 30]], np.float32),
        scores=np.ones(1, np.float32),
        labels=np.array([1], np.int32),
        masks=[rle.encode(bitmap)] if masks else None,
    )
    a = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    store = tmp_path / "pseudo.h5"
    writer = DetectionWriter(store, categories=read_categories(a), role="pseudo")
    empty = Detections.empty(71, (60, 80))
    writer.write_shard(0, [found, empty], names=["x/1.jpg", "x/2.jpg"])
    for paths in ([a, store], [store]):
        index = AnnotationIndex.open(paths, cache=cache)
        assert index.image_ids.tolist()[-2:] == [70, 71]
        i = index.index_of(70)
        assert index.file_name(i) == "x/1.jpg"
        kept = index.annotations(i)
        assert kept.boxes.tolist() == [[10, 20, 20, 30]]
        assert kept.areas.tolist() == [75 if masks else 100]
        assert (0 in kept.bitmaps) == masks
        assert len(kept.polygons.parts(0)) == (0 if masks else 1)
        names = (
            ("cat", "cup", "zebra")
            if len(paths) == 2
            else ("category 2", "category 5", "category 9")
        )
        assert index.categories.names == names
    assert index.categories.instance_count.tolist() == [0, 1, 0]
    writer.write_shard(0, [found])
    nameless = AnnotationIndex.open([store], cache=cache)
    assert (nameless.file_name(0), nameless.defect_count) == ("image 70", 0)
    writer.write_shard(0, [found], names=["x/1.jpg"], rotations=[90])
    with pytest.raises(UserError, match=r"image x/1\.jpg has to be turned"):
        AnnotationIndex.open([store], cache=cache)


@pytest.mark.parametrize("area", [None, -3, 0, 1e300, 60 * 80 + 1])
def test_an_area_that_is_none_is_counted(area: float | None, tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2, area=area)])
    index = AnnotationIndex.open([path], cache=cache)
    lacks = area is None or area <= 0
    assert (index.areas.tolist(), index.areas_computed) == ([100], int(lacks))
    assert [d.kind for d in index.defects] == [] if lacks else ["area_wrong"]


def test_training_with_skip_reads_a_file_of_every_defect(tmp_path: Path, cache: Path) -> None:
    bad = [{**record, "id": n} for n, (record, _) in enumerate(BROKEN.values(), 100)]
    images = [image(3), image(4, coco_url=""), image(5, neg_category_ids=[77])]
    annotations = [annotation(1, 3, 2), *bad, annotation(1, 5, 2), annotation(2, 5, 5)]
    path = write(tmp_path / "a.json", images, annotations)
    root = tmp_path / "images" / "train2017"
    root.mkdir(parents=True)
    for number in (3, 5):
        picture = np.full((60, 80, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(root / f"{number:012d}.jpg"), picture)
    data = TrainingData(
        AnnotationIndex.open([path], cache=cache, defects="skip"),
        root.parent,
        settings=DataSettings(
            augment=AugmentSettings(short_edges=(60,), flip=0.0),
            sampler=SamplerSettings(repeat="none", aspect_grouping=False),
            defects="skip",
        ),
    )
    loader = TrainLoader(data, batch_size_per_rank=1, settings=LoaderSettings(workers=0))
    seen = {t.image_id: t.labels.tolist() for _, targets in loader.epoch(0) for t in targets}
    assert seen == {3: [0, 1], 5: [1]}

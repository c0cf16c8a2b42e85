"""A store gives back what was written, from mapped columns, and refuses what is no store."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from lvistk.data.store.detection_store import DetectionStore, DetectionWriter, is_detection_store
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

IDS = np.array([3, 8, 9])


def categories(ids: np.ndarray) -> Categories:
    zeros = np.zeros(len(ids), np.int64)
    return Categories(ids, ("a", "b", "c"), np.array(["f", "c", "r"]), zeros, zeros)


CATEGORIES = categories(IDS)


def detections(image_id: int, count: int, *, scored: bool = True) -> Detections:
    draw = np.random.default_rng(image_id)
    bitmaps = draw.random((count, 20, 30)) < 0.3
    return Detections(
        image_id=image_id,
        size=(20, 30),
        boxes=draw.random((count, 4), np.float32),
        scores=draw.random(count, np.float32),
        labels=draw.integers(0, 3, count).astype(np.int32),
        masks=[rle.encode(bitmap) for bitmap in bitmaps],
        mask_scores=draw.random(count, np.float32) if scored else None,
    )


def same(a: Detections, b: Detections) -> None:
    assert (a.image_id, a.size, a.masks) == (b.image_id, b.size, b.masks)
    for name in ("boxes", "scores", "labels", "mask_scores"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_shards_give_back_what_was_written(tmp_path: Path) -> None:
    writer = DetectionWriter(tmp_path / "detections", categories=CATEGORIES, role="detections")
    images = [detections(number, number % 4) for number in (5, 8, 2, 7, 1)]
    assert not writer.has_shard(1)
    writer.write_shard(1, images[3:])
    writer.write_shard(0, images[:3])
    assert writer.has_shard(1)
    store = DetectionStore.open(tmp_path)  # the stage folder
    assert store.image_ids.tolist() == [5, 8, 2, 7, 1]
    assert store.category_ids.tolist() == IDS.tolist()
    assert store.role == "detections"
    for found, wanted in zip(store, images, strict=True):
        same(found, wanted) if len(wanted) else None
        assert len(found) == len(wanted)
    assert store.rows(7).tolist() == [3]
    assert store.rows(6).tolist() == []
    assert store.name(0) == ""
    same(pickle.loads(pickle.dumps(store))[3], images[3])


def test_columns_are_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pseudo.h5"
    writer = DetectionWriter(path, categories=CATEGORIES, role="pseudo")
    writer.write_shard(0, [detections(1, 3), detections(2, 2)], names=["a/x.jpg", "ü.jpg"])
    store = DetectionStore.open(path)
    columns = store.shards[0].columns()
    base = columns["box"]
    while not isinstance(base, np.memmap):
        base = base.base
    assert columns["box"].shape == (5, 4) and not columns["box"].flags.writeable
    assert [store.name(row) for row in range(2)] == ["a/x.jpg", "ü.jpg"]
    assert [store.rotation(row) for row in range(2)] == [0, 0]
    with pytest.raises(IndexError):
        store[2]


def test_rotations_are_kept(tmp_path: Path) -> None:
    writer = DetectionWriter(tmp_path / "a.h5", categories=CATEGORIES, role="pseudo")
    images = [detections(1, 3), detections(2, 2)]
    writer.write_shard(0, images, names=["a.jpg", "b.jpg"], rotations=[270, 0])
    store = DetectionStore.open(tmp_path / "a.h5")
    assert [store.rotation(row) for row in range(2)] == [270, 0]


@pytest.mark.parametrize("images", [[], [Detections.empty(4, (20, 30))]])
def test_no_detections(images: list[Detections], tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    DetectionWriter(path, categories=CATEGORIES, role="missing").write_shard(0, images)
    store = DetectionStore.open(path)
    assert len(store) == len(images)
    for found in store:
        assert len(found) == 0 and found.boxes.shape == (0, 4) and found.masks == []


def test_boxes_alone(tmp_path: Path) -> None:
    image = detections(4, 3, scored=False)
    image.masks = None
    path = tmp_path / "a.h5"
    writer = DetectionWriter(path, categories=CATEGORIES, role="detections")
    writer.write_shard(0, [image, Detections.empty(5, (20, 30))])
    found = DetectionStore.open(path)[0]
    assert found.masks is None and found.mask_scores is None
    with pytest.raises(ValueError, match="some images"):
        writer.write_shard(0, [image, detections(5, 2)])


def test_what_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(UserError, match="no such detection store"):
        DetectionStore.open(path)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="not a whole HDF5 file"):
        DetectionStore.open(path)
    with h5py.File(path, "w") as file:
        file["label"] = [1, 2]
    with pytest.raises(UserError, match="no detection store of lvistk"):
        DetectionStore.open(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no detection store"):
        DetectionStore.open(tmp_path / "empty")
    assert is_detection_store(path) and not is_detection_store(tmp_path / "empty")


def test_a_store_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = DetectionWriter(path, categories=CATEGORIES, role="detections")
    writer.write_shard(0, [detections(number, 6) for number in range(1, 9)])
    data = path.read_bytes()
    cut = tmp_path / "cut.h5"
    for share in np.linspace(0, 0.999, 40):
        cut.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match=r"cut\.h5"):
            DetectionStore.open(cut)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label", np.zeros(2, np.int32)),
        ("label", np.zeros(5, np.float64)),
        ("box", np.zeros((5, 3), np.float32)),
        ("images/row", np.array([0, 9, 5])),
        ("rle_offset", np.array([0, 3, 2, 4, 5, 9])),
        ("images/id", np.array([1, 1])),
        ("label", np.array([0, 1, 3, 0, 1], np.int32)),
        ("score", np.array([0.5, np.nan, 0.1, 0.2, 0.3], np.float32)),
        ("box", np.full((5, 4), np.inf, np.float32)),
        ("category_ids", np.array([3, 8, 8])),
        ("images/height", np.array([20, -1], np.int32)),
        ("images/row", np.array([0, 3, 4])),
        ("rle", None),
        ("score", None),
    ],
)
def test_columns_that_do_not_fit(name: str, values: np.ndarray | None, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = DetectionWriter(path, categories=CATEGORIES, role="detections")
    writer.write_shard(0, [detections(1, 3), detections(2, 2)])
    change(path, name, values)
    with pytest.raises(UserError, match=r"a\.h5"):
        DetectionStore.open(path)
    without_digest(path)
    with pytest.raises(UserError, match=r"a\.h5") as told:
        DetectionStore.open(path)
    assert "digest" not in str(told.value)


def change(path: Path, name: str, values: np.ndarray | None) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values


def without_digest(path: Path) -> None:
    """As programs before digests wrote it."""
    with h5py.File(path, "a") as file:
        del file.attrs["digest"]
        file.attrs["version"] = 1


def test_a_store_of_version_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = DetectionWriter(path, categories=CATEGORIES, role="detections")
    writer.write_shard(0, [detections(1, 3), detections(2, 2)])
    without_digest(path)
    for row, number in enumerate((1, 2)):
        same(DetectionStore.open(path)[row], detections(number, 4 - number))


def test_a_version_2_store_needs_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    DetectionWriter(path, categories=CATEGORIES, role="x").write_shard(0, [detections(1, 3)])
    with h5py.File(path, "a") as file:
        del file.attrs["digest"]
    with pytest.raises(UserError, match=r"a\.h5: has no digest"):
        DetectionStore.open(path)


def test_a_flipped_byte_is_never_believed(tmp_path: Path) -> None:
    """Refused in one line, or in a part of the file that says nothing."""
    path, flipped = tmp_path / "a.h5", tmp_path / "flipped.h5"
    images = [detections(number, 6) for number in range(1, 9)]
    DetectionWriter(path, categories=CATEGORIES, role="detections").write_shard(0, images)
    data = path.read_bytes()
    refused = 0
    for offset in np.linspace(0, len(data) - 1, 400).astype(int):
        flipped.write_bytes(data[:offset] + bytes([data[offset] ^ 0x41]) + data[offset + 1 :])
        try:
            store = DetectionStore.open(flipped)
        except UserError as error:
            refused += str(error).startswith(str(flipped))
            continue
        assert store.role == "detections" and store.category_ids.tolist() == IDS.tolist()
        for row, image in enumerate(images):
            same(store[row], image)
    assert refused > 200


def test_a_worker_opens_a_checked_store_without_reading_it(tmp_path: Path) -> None:
    """The process that hands a store over has read all of it; a hundred workers need not."""
    path = tmp_path / "a.h5"
    DetectionWriter(path, categories=CATEGORIES, role="x").write_shard(0, [detections(1, 3)])
    packed = pickle.dumps(DetectionStore.open(path))
    with h5py.File(path, "a") as file:
        file["score"][0] = 0.125
    assert pickle.loads(packed)[0].scores[0] == 0.125
    with pytest.raises(UserError, match="content is not what was written"):
        DetectionStore.open(path)


def test_shards_of_two_label_sets(tmp_path: Path) -> None:
    for number, ids in enumerate((IDS, IDS + 1)):
        writer = DetectionWriter(tmp_path, categories=categories(ids), role="detections")
        writer.write_shard(number, [detections(number, 1)])
    with pytest.raises(UserError, match="other categories"):
        DetectionStore.open(tmp_path)

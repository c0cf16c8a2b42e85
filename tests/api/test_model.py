"""The Python face: what is imported when, models from every kind of file, images in every form."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

import lvistk
from lvistk.config.inference import ViewSettings
from lvistk.masks import rle
from tests.command_line import small_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("api")
    small_world(root, images=3)
    return root


@pytest.fixture(scope="module")
def model(world: Path) -> lvistk.Model:
    return lvistk.load(world / "model.safetensors", device="cpu")


SMALL = ViewSettings(short_edges=(64,), long_edge=96)


def test_import_is_light() -> None:
    code = (
        "import sys, lvistk\n"
        "assert not {'torch', 'numpy', 'lvistk.api'} & set(sys.modules)\n"
        "assert {'load', 'evaluate', 'train'} <= set(dir(lvistk))\n"
        "lvistk.evaluate\n"
        "assert 'torch' not in sys.modules\n"
        "try:\n    lvistk.lode\n"
        "except AttributeError as error:\n    assert 'lode' in str(error)\n"
        "else:\n    raise AssertionError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_exported_name_is_there() -> None:
    for name in lvistk.__all__:
        assert getattr(lvistk, name).__doc__, name


def test_one_image_in_every_form(world: Path, model: lvistk.Model) -> None:
    """A path, an array, a PIL image, and grey: the same pixels, the same detections."""
    path = world / "train2017" / "000000000002.jpg"
    pixels = cv2.imread(str(path))[:, :, ::-1]
    forms = [path, str(path), pixels, PIL.Image.fromarray(pixels)]
    forms.append(np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)]))
    for form in forms:
        detections = model.predict(form, min_score=0.0, views=SMALL)
        first = model.predict(path, min_score=0.0, views=SMALL)
        assert detections.size == pixels.shape[:2]
        np.testing.assert_array_equal(detections.boxes, first.boxes)
        np.testing.assert_array_equal(detections.scores, first.scores)
        assert detections.rle == first.rle
        np.testing.assert_array_equal(detections.draw().pixels, first.draw().pixels)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    assert model.predict(grey, views=SMALL).size == pixels.shape[:2]


def low(model: lvistk.Model, image: Path) -> lvistk.ImageDetections:
    """Many detections of a model with drawn weights, whose scores are low."""
    merge = lvistk.api.model.MergeSettings(score_threshold=0.0001, max_detections=12)
    detections = model.predict(image, min_score=0.0, views=SMALL, merge=merge)
    assert len(detections) == 12
    return detections


def test_what_is_given_back(world: Path, model: lvistk.Model) -> None:
    image = world / "train2017" / "000000000001.jpg"
    detections = low(model, image)
    assert detections.masks.shape == (12, *detections.size) and detections.masks.dtype == bool
    for mask, counts in zip(detections.masks, detections.rle, strict=True):
        np.testing.assert_array_equal(mask, rle.decode(counts, detections.size))
    assert detections.names == [model.names[label] for label in detections.labels]
    assert (np.diff(detections.scores) <= 0).all()
    best = detections[:2]
    assert len(best) == 2 and best.rle == detections.rle[:2]
    assert len(detections[detections.scores > detections.scores[4]]) <= 4
    assert detections[-1].scores[0] == detections.scores[-1]
    with pytest.raises(IndexError):
        detections[12]
    assert f"12 detections in {image}" in repr(detections)


def test_lvis_records(world: Path, model: lvistk.Model) -> None:
    detections = low(model, world / "train2017" / "000000000001.jpg")
    both = detections.to_lvis(image_id=5)
    x, y, w, h = both[3]["bbox"]
    np.testing.assert_allclose([x, y, x + w, y + h], detections.boxes[3], atol=1e-4)
    assert both[3]["segmentation"]["counts"].encode() == detections.rle[3]
    assert both[3]["category_id"] == detections.category_ids[3] and both[3]["image_id"] == 5
    assert detections.to_lvis()[0]["image_id"] == "000000000001.jpg"
    assert all("bbox" not in one for one in detections.to_lvis(kind="segm"))
    assert all("segmentation" not in one for one in detections.to_lvis(kind="bbox"))


def test_pictures(world: Path, model: lvistk.Model, tmp_path: Path) -> None:
    picture = low(model, world / "train2017" / "000000000001.jpg").draw()
    assert picture.save(tmp_path / "new" / "a.png") == tmp_path / "new" / "a.png"
    written = cv2.imread(str(tmp_path / "new" / "a.png"))[:, :, ::-1]
    np.testing.assert_array_equal(written, picture.pixels)
    shown = cv2.imdecode(np.frombuffer(picture._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(shown[:, :, ::-1], picture.pixels)
    with pytest.raises(lvistk.UserError, match=r"ends in one of \.png"):
        picture.save(tmp_path / "a.txt")


def test_lists_batches_and_streams(world: Path, model: lvistk.Model) -> None:
    paths = sorted((world / "train2017").iterdir())
    alone = [model.predict(path, min_score=0.0, views=SMALL) for path in paths]
    together = model.predict(paths, min_score=0.0, views=SMALL, batch_size=3)
    streamed = list(model.stream(world / "train2017", min_score=0.0, views=SMALL))
    for a, b, c in zip(alone, together, streamed, strict=True):
        assert a.source == b.source == c.source
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_array_equal(a.scores, c.scores)
    assert model.predict([]) == []


def test_categories_and_scores(world: Path, model: lvistk.Model) -> None:
    path = world / "train2017" / "000000000001.jpg"
    every = low(model, path)
    wanted = sorted(set(every.names) - {every.names[0]})[:2]
    least = float(every.scores[-1])
    some = model.predict(
        path, min_score=least, views=SMALL, categories=[wanted[0].upper(), wanted[1]]
    )
    assert set(some.names) == set(wanted) and (some.scores >= least).all()
    with pytest.raises(lvistk.UserError, match="no category 'dog'"):
        model.predict(path, categories=["dog"])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 5, 3)), r"an array \(4, 5, 3\) of float64; give \(H, W, 3\) RGB"),
        (np.zeros((3, 40, 50), np.uint8), r"an array \(3, 40, 50\) of uint8"),
        (np.zeros((0, 5, 3), np.uint8), "without a pixel"),
        ("none.jpg", "none.jpg: image is missing"),
        (".", "is a folder; model.stream"),
        (7, "is of type int"),
    ],
)
def test_what_is_no_image_is_told(model: lvistk.Model, image: object, words: str) -> None:
    with pytest.raises(lvistk.UserError, match=words):
        model.predict(image)  # pyright: ignore[reportArgumentType, reportCallIssue]  # wrong on purpose


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_score": 50}, "min_score = 50: give 0 to 1"),
        ({"min_score": float("nan")}, "min_score = nan: give 0 to 1"),
        ({"batch_size": 0}, "batch_size = 0: give 1 or more"),
        ({"categories": "zebra"}, "no category 'zebra'"),
    ],
)
def test_options_out_of_range_are_told(
    model: lvistk.Model, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(lvistk.UserError, match=words):
        model.predict(np.zeros((40, 40, 3), np.uint8), **options)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[1, 2, 3, 4, 5]], r"boxes: an array \(1, 5\); give \(N, 4\)"),
        ([1, 2, 30, 40], r"boxes: an array \(4,\); give \(N, 4\)"),
        ([[20, 20, 10, 10]], "boxes: number 0 is .* in this order"),  # x, y, width, height
        ([[1, 2, float("nan"), 4]], "boxes: number 0 is .*nan"),
    ],
)
def test_boxes_that_are_none_are_told(model: lvistk.Model, boxes: list, words: str) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(lvistk.UserError, match=words):
        model.masks_for(image, np.array(boxes), names=[model.names[0]])


def test_a_broken_image_of_a_stream_is_left_out(
    model: lvistk.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"none")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((40, 40, 3), np.uint8))
    assert [one.source.name for one in model.stream(tmp_path, views=SMALL)] == ["b.png"]
    assert "a.jpg: not an image" in capsys.readouterr().err


def test_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(lvistk.UserError, match="no such model"):
        lvistk.load(tmp_path)
    (tmp_path / "model.pth").write_bytes(b"nothing")
    with pytest.raises(lvistk.UserError, match=r"model\.pth"):
        lvistk.load(tmp_path / "model.pth")


def test_the_model_that_ships_is_loaded_by_name() -> None:
    assert len(lvistk.load("lvistk:demo_detector", device="cpu").names) == 9
    with pytest.raises(lvistk.UserError, match="lvistk:demo: no such file ships with lvistk"):
        lvistk.load("lvistk:demo")


def test_supervision_is_named_where_it_is_missing(world: Path, model: lvistk.Model) -> None:
    detections = low(model, world / "train2017" / "000000000001.jpg")
    try:
        import supervision
    except ModuleNotFoundError:
        with pytest.raises(lvistk.UserError, match="pip install supervision"):
            detections.to_supervision()
        return
    theirs = detections.to_supervision()
    assert isinstance(theirs, supervision.Detections)
    np.testing.assert_array_equal(theirs.xyxy, detections.boxes)
    np.testing.assert_array_equal(theirs.mask, detections.masks)
    assert theirs.data["class_name"].tolist() == detections.names


def test_masks_for_given_boxes(world: Path, model: lvistk.Model) -> None:
    """The model's own boxes in any order come back with its own masks."""
    path = world / "train2017" / "000000000001.jpg"
    merge = lvistk.api.model.MergeSettings(score_threshold=0.0001, max_detections=12)
    own = model.predict(path, min_score=0.0, merge=merge)
    order = np.random.default_rng(0).permutation(len(own))
    names = [own.names[k] for k in order]
    masked = model.masks_for(path, own.boxes[order], names, scores=own.scores[order])
    np.testing.assert_array_equal(masked.scores, own.scores)
    np.testing.assert_allclose(masked.boxes, own.boxes, atol=1e-4)
    assert (masked.masks != own.masks).mean() < 0.01
    assert len(model.masks_for(path, np.zeros((0, 4)), [])) == 0
    with pytest.raises(lvistk.UserError, match="1 boxes, 2 names"):
        model.masks_for(path, np.zeros((1, 4)), ["c10", "c11"])

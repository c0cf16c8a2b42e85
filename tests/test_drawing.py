import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.drawing import draw_instances, label_color, side_by_side, write_picture
from lvistk.masks import rle


def image(height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def mask(height: int = 40, width: int = 60) -> bytes:
    bitmap = np.zeros((height, width), np.uint8)
    bitmap[10:30, 10:40] = 1
    return rle.encode(bitmap)


def test_a_mask_is_tinted_and_the_rest_is_left() -> None:
    before = image()
    drawn = draw_instances(
        before,
        boxes=np.array([[10, 10, 40, 30]], np.float32),
        labels=np.array([4]),
        masks=[mask()],
        captions=[""],
        min_side=40,
    )
    expected = 0.55 * 100 + 0.45 * np.array(label_color(4))
    assert np.abs(drawn[20, 25] - expected).max() <= 1
    np.testing.assert_array_equal(drawn[:9], before[:9])
    np.testing.assert_array_equal(before, image())


def test_small_images_are_enlarged() -> None:
    arguments = {"labels": np.array([0]), "captions": ["ring .97"], "min_side": 100}
    boxes = np.array([[10, 10, 40, 30]], np.float32)
    drawn = draw_instances(image(), boxes=boxes, masks=None, **arguments)
    assert drawn.shape == (120, 180, 3)
    assert (drawn[30, 60] == label_color(0)).all()  # the box's upper edge
    assert (drawn != 100).any(2).sum() > 2 * (90 + 60)  # and a caption


def test_nothing_to_draw() -> None:
    drawn = draw_instances(
        image(),
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, int),
        masks=[],
        captions=[],
        min_side=1,
    )
    np.testing.assert_array_equal(drawn, image())


def test_captions_stay_inside() -> None:
    boxes = np.array([[58, 0, 60, 2], [0, 38, 2, 40]], np.float32)
    drawn = draw_instances(
        image(), boxes=boxes, labels=np.array([1, 2]), masks=None, captions=["a" * 30, "b"]
    )
    assert drawn.shape == (320, 480, 3)


def test_pictures_side_by_side(tmp_path: Path) -> None:
    row = side_by_side([image(), image(20, 30)], titles=["gt", "found"])
    assert row.shape == (66, 60 + 30 + 16, 3)
    for name in ("row.png", "row.jpg"):
        write_picture(tmp_path / name, row)
        assert cv2.imread(str(tmp_path / name)).shape == row.shape
    assert sorted(p.name for p in tmp_path.iterdir()) == ["row.jpg", "row.png"]
    with pytest.raises((ValueError, cv2.error)):
        write_picture(tmp_path / "row.unknown", row)


def test_colours_differ() -> None:
    assert len({label_color(label) for label in range(200)}) == 200


def test_drawing_needs_no_torch() -> None:
    code = "import sys, lvistk.drawing; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

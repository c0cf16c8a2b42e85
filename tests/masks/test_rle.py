"""Areas and tight boxes of many RLEs, against their decoded bitmaps."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from lvistk.masks import rle
from lvistk.masks.rle_extent import extents

SIZE = (23, 31)


def expected(counts: bytes) -> tuple[int, list[int]]:
    """Area and box of one mask; a run from one column into the next makes the box as high as the image."""
    bitmap = coco_mask.decode({"size": list(SIZE), "counts": counts})
    rows, columns = np.nonzero(bitmap)
    if not len(rows):
        return 0, [0, 0, 0, 0]
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    flat = bitmap.reshape(-1, order="F")
    feet = np.arange(SIZE[0], flat.size, SIZE[0])
    if np.any(flat[feet] & flat[feet - 1]):
        box[1], box[3] = 0, SIZE[0]
    return int(bitmap.sum()), [int(value) for value in box]


def test_extents_are_those_of_the_bitmaps() -> None:
    rng = np.random.default_rng(0)
    bitmaps = [np.zeros(SIZE), np.ones(SIZE)]
    bitmaps += [rng.random(SIZE) < share for share in rng.random(60) ** 4]
    for _ in range(60):  # compact masks, whose columns never touch foot to head
        bitmap = np.zeros(SIZE)
        y, x, h, w = rng.integers(1, 10, 4)
        bitmap[y : y + h, x : x + w] = rng.random((h, w)) < 0.8
        bitmaps.append(bitmap)
    masks = [rle.encode(bitmap) for bitmap in bitmaps]
    found = extents(masks, SIZE)
    assert list(zip(found.areas.tolist(), found.boxes.tolist(), strict=True)) == [
        expected(mask) for mask in masks
    ]


def test_no_masks() -> None:
    found = extents([], SIZE)
    assert found.areas.shape == (0,) and found.boxes.shape == (0, 4)


def test_empty_runs_change_nothing() -> None:
    runs = [5, 3, 0, 4, 0, 0, 11]
    counts = coco_mask.frPyObjects({"size": [23, 1], "counts": runs}, 23, 1)["counts"]
    found = extents([counts], (23, 1))
    assert found.areas.tolist() == [7] and found.boxes.tolist() == [[0, 5, 1, 12]]


@pytest.mark.parametrize("counts", [b"", b"5", b"5 5", b"5U", b"PPPPPPPPPP1", b"h1O"])
def test_what_is_no_mask_of_the_size(counts: bytes) -> None:
    sound = rle.encode(np.ones(SIZE))
    with pytest.raises(ValueError, match=r"byte|number|runs"):
        extents([sound, counts, sound], SIZE)

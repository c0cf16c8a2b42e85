import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lvistk.masks import rle
from lvistk.masks.paste import paste_masks
from tests.reference import paste as slow
from tests.reference import rle as slow_rle


def smooth_masks(rng, number, side):
    coarse = torch.tensor(rng.random((number, 1, 5, 5)), dtype=torch.float32)
    fine = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return fine[:, 0].clamp(0, 1).numpy()


def random_boxes(rng, number, height, width):
    corner = rng.uniform(-10, [width, height], (number, 2))
    return np.concatenate([corner, corner + rng.uniform(0.2, 50, (number, 2))], 1)


def whole_image(masks, boxes, height, width):
    """detectron2's rule with torch's grid_sample over the whole image."""
    x0, y0, x1, y1 = (torch.tensor(column)[:, None] for column in boxes.T)
    gy = (torch.arange(height) + 0.5 - y0) / (y1 - y0) * 2 - 1
    gx = (torch.arange(width) + 0.5 - x0) / (x1 - x0) * 2 - 1
    shape = (len(masks), height, width)
    grid = torch.stack([gx[:, None, :].expand(shape), gy[:, :, None].expand(shape)], 3)
    values = F.grid_sample(torch.tensor(masks)[:, None], grid.float(), align_corners=False)
    return values[:, 0].numpy()


@pytest.mark.parametrize(("side", "threshold"), [(28, 0.5), (14, 0.3), (3, 0.05)])
def test_equals_pasting_the_whole_image(side: int, threshold: float) -> None:
    rng = np.random.default_rng(side)
    height, width = 61, 83
    masks = smooth_masks(rng, 60, side)
    boxes = random_boxes(rng, 60, height, width).astype(np.float32)
    found = paste_masks(masks, boxes, size=(height, width), threshold=threshold)
    values = whole_image(masks, boxes, height, width)
    for counts, value in zip(found, values, strict=True):
        bitmap = rle.decode(counts, (height, width))
        clear = np.abs(value - threshold) > 1e-5  # elsewhere the last bit of a float32 decides
        np.testing.assert_array_equal(bitmap[clear], (value >= threshold)[clear])
        assert counts == rle.encode(bitmap), "not as pycocotools writes it"


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, 30)), int(rng.integers(1, 30))
    masks = smooth_masks(rng, 8, 6)
    boxes = random_boxes(rng, 8, height, width).astype(np.float32)
    found = paste_masks(masks, boxes, size=(height, width))
    for mask, box, counts in zip(masks, boxes, found, strict=True):
        rows = slow.paste(mask, box, height=height, width=width, threshold=0.5)
        np.testing.assert_array_equal(rle.decode(counts, (height, width)), rows)
        assert counts.decode() == slow_rle.counts(slow_rle.runs_of_rows(rows))


def test_by_hand() -> None:
    whole = np.ones((1, 4, 4), np.float32)
    box = np.array([[1, 2, 4, 6]], np.float32)
    bitmap = rle.decode(paste_masks(whole, box, size=(8, 5))[0], (8, 5))
    expected = np.zeros((8, 5), np.uint8)
    expected[2:6, 1:4] = 1
    np.testing.assert_array_equal(bitmap, expected)


def test_runs_go_on_from_column_to_column() -> None:
    full = np.ones((2, 28, 28), np.float32)
    boxes = np.array([[0, 0, 7, 9], [3, 0, 7, 9]], np.float32)
    found = paste_masks(full, boxes, size=(9, 7))
    assert found[0] == rle.encode(np.ones((9, 7), np.uint8))
    right = np.zeros((9, 7), np.uint8)
    right[:, 3:] = 1
    assert found[1] == rle.encode(right)


def test_noise_on_a_large_image() -> None:
    """Many runs: buffers have to grow."""
    rng = np.random.default_rng(0)
    masks = rng.random((4, 112, 112)).astype(np.float32)
    boxes = np.array([[0, 0, 900, 700]] * 4, np.float32) + np.arange(4)[:, None]
    values = whole_image(masks, boxes, 700, 900)
    for counts, value in zip(paste_masks(masks, boxes, size=(700, 900)), values, strict=True):
        wrong = rle.decode(counts, (700, 900)) != (value >= 0.5)
        assert np.abs(value[wrong] - 0.5).max(initial=0.0) < 1e-4  # float32 at 900 px
        assert wrong.sum() < 50


def test_nothing_to_paste() -> None:
    assert paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), size=(5, 5)) == []
    flat = paste_masks(np.ones((1, 4, 4)), np.array([[2, 1, 2, 4]]), size=(5, 5))
    assert rle.areas(flat, (5, 5)).tolist() == [0]
    outside = paste_masks(np.ones((1, 4, 4)), np.array([[20, 20, 30, 30]]), size=(5, 5))
    assert outside == [rle.encode(np.zeros((5, 5), np.uint8))]

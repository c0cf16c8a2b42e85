"""RLE masks against pycocotools and slow loops: encoder, decoder, polygons, areas and boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.masks.codes import MOST_PIXELS, OK, TOO_LARGE
from lvistk.masks.paste import paste_masks
from lvistk.masks.polygon_spans import spans_of_polygons
from lvistk.masks.rle import extents
from lvistk.masks.rle_decode import SLACK, new_scratch, spans_of_rle
from tests.reference import rle as slow

SIZE = (23, 31)
BROKEN = [b"\x00", b"P", b"PPPPPPPP0", b"5L", b"~"]
"""A byte that is no digit, numbers cut off, a number too long, a negative run."""
coordinate = st.one_of(st.floats(-30, 90, width=32), st.integers(-30, 90))
polygon = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12)


@st.composite
def bitmaps(draw: st.DrawFn) -> np.ndarray:
    """Noise of any density, or few solid pieces, with runs over several columns."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        return (rng.random((height, width)) < draw(st.floats(0, 1))).astype(np.uint8)
    bitmap = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        y, x = rng.integers(0, height), rng.integers(0, width)
        bitmap[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = rng.integers(0, 2)
    return bitmap


@settings(max_examples=300, deadline=None)
@given(bitmaps())
def test_bitmaps_there_and_back(bitmap: np.ndarray) -> None:
    counts = rle.encode(bitmap)
    assert counts == coco_mask.encode(np.asfortranarray(bitmap))["counts"]
    lengths = slow.runs_of_rows(bitmap.tolist())
    assert counts.decode() == slow.counts(lengths)
    assert rle.runs(counts).tolist() == lengths == slow.runs(counts.decode())
    np.testing.assert_array_equal(rle.decode(counts, bitmap.shape), bitmap)
    assert slow.rows_of_runs(lengths, *bitmap.shape) == bitmap.tolist()
    assert rle.from_runs(lengths, bitmap.shape) == counts
    assert rle.encode(bitmap.astype(bool)) == rle.encode(np.asfortranarray(bitmap)) == counts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=40))
def test_runs_of_any_length_empty_ones_too(lengths: list[int]) -> None:
    size = (sum(lengths), 1)
    counts = rle.from_runs(lengths, size)
    assert counts == coco_mask.frPyObjects({"size": size, "counts": lengths}, *size)["counts"]
    assert counts.decode() == slow.counts(lengths)
    assert rle.runs(counts).tolist() == lengths == slow.runs(counts.decode())
    assert rle.areas([counts], size).tolist() == [sum(lengths[1::2])]


@settings(max_examples=300, deadline=None)
@given(st.lists(polygon, min_size=1, max_size=3), st.integers(1, 60), st.integers(1, 60))
def test_polygons_as_pycocotools_draws_them(parts: list, height: int, width: int) -> None:
    arrays = [np.array(points, np.float64) for points in parts]
    drawn = coco_mask.frPyObjects([part.reshape(-1) for part in arrays], height, width)
    assert rle.from_polygons(arrays, (height, width)) == coco_mask.merge(drawn)["counts"]


def test_polygons_that_cover_nothing() -> None:
    nothing = rle.encode(np.zeros(SIZE))
    assert rle.from_polygons([], SIZE) == nothing
    assert rle.from_polygons([np.array([[1, 1], [9, 9]])], SIZE) == nothing
    line = np.array([1.0, 1, 20, 12])
    square = np.array([2.0, 2, 8, 2, 8, 9, 2, 9])
    assert rle.from_polygons([line, square], SIZE) == rle.from_polygons([square], SIZE)
    with pytest.raises(ValueError, match="finite"):
        rle.from_polygons([np.array([[1, 1], [np.nan, 5], [3, 3]])], SIZE)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 2**32), min_size=0, max_size=5))
def test_areas_and_boxes_as_pycocotools_gives_them(seeds: list[int]) -> None:
    worlds = [np.random.default_rng(seed) for seed in seeds]
    masks = [rle.encode(rng.random(SIZE) < rng.random() ** 3) for rng in worlds]
    coded = [{"size": list(SIZE), "counts": counts} for counts in masks]
    wanted = np.array([coco_mask.toBbox(one) for one in coded]).reshape(-1, 4)
    wanted[:, 2:] += wanted[:, :2]
    np.testing.assert_array_equal(rle.boxes(masks, SIZE), wanted)
    assert rle.areas(masks, SIZE).tolist() == [int(coco_mask.area(one)) for one in coded]


@pytest.mark.parametrize("counts", BROKEN)
def test_what_is_no_rle(counts: bytes) -> None:
    for read in (
        rle.runs,
        lambda text: rle.decode(text, SIZE),
        lambda text: rle.areas([text], SIZE),
    ):
        with pytest.raises(ValueError, match=r"byte outside|no RLE"):
            read(counts)


def test_counts_that_do_not_fill_their_size() -> None:
    counts = rle.encode(np.ones(SIZE))
    with pytest.raises(ValueError, match="no RLE of a mask of 23 x 30"):
        rle.decode(counts, (23, 30))
    with pytest.raises(ValueError, match="do not fill"):
        rle.from_runs([5, 3], (3, 3))
    with pytest.raises(ValueError, match="do not fill"):
        rle.from_runs([5, -1, 5], (3, 3))


def test_more_pixels_than_a_mask_can_number_are_refused() -> None:
    """From 2 ** 32 pixels on, numbers of pixels would wrap to 0."""
    size = (2**16, 2**16)
    square = [np.array([0.0, 0, 9, 0, 9, 9])]
    probs, boxes = np.ones((1, 4, 4), np.float32), np.array([[0, 0, 9, 9]], np.float32)
    attempts = [
        lambda: rle.encode(np.broadcast_to(np.uint8(0), size)),
        lambda: rle.decode(b"0", size),
        lambda: rle.from_polygons(square, size),
        lambda: rle.from_runs([2**32], size),
        lambda: rle.areas([b"0"], size),
        lambda: paste_masks(probs, boxes, size=size),
    ]
    for attempt in attempts:
        with pytest.raises(UserError, match="65536 x 65536 pixels is too large for masks"):
            attempt()


def test_compiled_readers_refuse_too_many_pixels() -> None:
    text = slow.counts([5, 2**32 - 5]).encode()
    padded = np.frombuffer(bytearray(text + bytes(SLACK)), np.uint8)
    scratch = new_scratch(len(text))
    assert spans_of_rle(padded, 0, len(text), False, MOST_PIXELS + 1, scratch)[3] == TOO_LARGE
    numbers = np.array([1.0, 6, 0, 0, 9, 0, 9, 9])
    assert spans_of_polygons(numbers, 0, 2**16, 2**16)[4] == TOO_LARGE
    text = slow.counts([5, MOST_PIXELS - 5]).encode()
    padded = np.frombuffer(bytearray(text + bytes(SLACK)), np.uint8)
    n, area, _, code = spans_of_rle(padded, 0, len(text), False, MOST_PIXELS, scratch)
    assert (n, area, code) == (1, MOST_PIXELS - 5, OK)
    assert (scratch.starts[0], scratch.stops[0]) == (5, MOST_PIXELS)


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
    with pytest.raises(ValueError, match="no RLE"):
        extents([sound, counts, sound], SIZE)

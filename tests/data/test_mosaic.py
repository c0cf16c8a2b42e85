"""Four images around a point: who lies where, and what is known of the whole."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.augment import View, draw_view
from lvistk.data.augment.mosaic import Labels, Tile, compose, mosaic_centre, place_in_mosaic
from lvistk.data.augment.warp import warp_instances
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import Bitmap
from lvistk.masks.polygons import Polygons
from tests.reference.geometry import perimeter, sampled_mask
from tests.shared_data import REALDATA, needs_realdata

SETTINGS = AugmentSettings(min_kept=0.0)
FINE = 16
"""Samples per pixel each way, fine enough for the thin ends of real outlines."""


def labels(
    label: int, negative: list[int], not_exhaustive: list[int], bitmap: bool = False
) -> Labels:
    """One object that covers an image of 20 x 30 but for a rim of 2."""
    outline = np.array([[2, 2], [28, 2], [28, 18], [2, 18]], float)
    box = np.array([[2, 2, 28, 18]], np.float32)
    bitmaps = {0: Bitmap(2, 2, np.ones((16, 26), np.uint8))} if bitmap else {}
    polygons = Polygons.from_lists([[] if bitmap else [outline]])
    found = Instances(np.array([label]), box, np.array([16.0 * 26]), polygons, bitmaps)
    return Labels(found, found, np.array(negative), np.array(not_exhaustive))


def views(height: int = 20, width: int = 30) -> list[View]:
    return [View(np.eye(3), height, width)] * 4


def test_tiles_meet_at_the_centre() -> None:
    placed = place_in_mosaic(views(), centre=(40, 25), size=(60, 90))
    assert [region for _, region in placed] == [
        (10, 5, 40, 25),
        (40, 5, 70, 25),
        (10, 25, 40, 45),
        (40, 25, 70, 45),
    ]
    corners = [(30, 20), (0, 20), (30, 0), (0, 0)]  # of each image, at the centre
    for (matrix, _), corner in zip(placed, corners, strict=True):
        np.testing.assert_allclose(matrix @ [*corner, 1], [40, 25, 1])


def test_large_tiles_are_cropped_by_the_canvas() -> None:
    placed = place_in_mosaic(views(100, 100), centre=(30, 20), size=(50, 60))
    regions = [region for _, region in placed]
    assert regions == [(0, 0, 30, 20), (30, 0, 60, 20), (0, 20, 30, 50), (30, 20, 60, 50)]


@pytest.mark.parametrize("bitmap", [False, True])
def test_lists_pixels_and_instances_of_a_mosaic(bitmap: bool) -> None:
    known = [
        labels(0, [5, 6, 7], [1], bitmap),
        labels(1, [5, 6, 0], [], bitmap),
        labels(2, [5, 6], [3], bitmap),
        labels(6, [5, 6, 8], [1, 4], bitmap),
    ]
    placed = place_in_mosaic(views(), centre=(20, 20), size=(40, 60))
    tiles = [
        Tile(np.full((20, 30, 3), 10 * (n + 1), np.uint8), (20, 30), one, matrix, region)
        for n, (one, (matrix, region)) in enumerate(zip(known, placed, strict=True))
    ]
    picture = compose(tiles, height=40, width=60, settings=SETTINGS)
    assert picture.pixels[10, 5, 0] == 10 and picture.pixels[10, 40, 0] == 20
    assert picture.pixels[30, 5, 0] == 30 and picture.pixels[30, 40, 0] == 40
    assert (picture.pixels[:, 52] == (104, 116, 124)).all()
    found = picture.labels
    assert found.instances.labels.tolist() == [0, 1, 2, 6]
    assert found.negative.tolist() == [5]  # in all four lists, and present in none
    assert found.not_exhaustive.tolist() == [1, 3, 4]
    expected = [[0, 2, 18, 18], [22, 2, 48, 18], [0, 22, 18, 38], [22, 22, 48, 38]]
    np.testing.assert_allclose(found.instances.boxes, expected)
    np.testing.assert_allclose(found.missing.boxes, expected)
    np.testing.assert_allclose(found.instances.areas, [288, 416, 288, 416], rtol=1e-2)
    assert len(found.instances.bitmaps) == (4 if bitmap else 0)


def test_one_image_keeps_its_lists() -> None:
    tile = Tile(
        np.zeros((20, 30, 3), np.uint8), (20, 30), labels(0, [5], [1]), np.eye(3), (0, 0, 30, 20)
    )
    found = compose([tile], height=20, width=30, settings=SETTINGS).labels
    assert found.negative.tolist() == [5] and found.not_exhaustive.tolist() == [1]


def test_centres_lie_in_the_middle_half() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([mosaic_centre((400, 800), rng) for _ in range(500)])
    assert centres.min(0)[0] >= 200 and centres.max(0)[0] <= 600
    assert centres.min(0)[1] >= 100 and centres.max(0)[1] <= 300
    assert np.ptp(centres, axis=0)[0] > 380


@needs_realdata
def test_real_instances_after_rotation_and_mosaic(tmp_path: Path) -> None:
    """Areas equal those of the warped and cropped bitmaps within 1% or a quarter pixel times the perimeter,
    boxes are tight to a pixel."""
    path = REALDATA / "annotations" / "lvis_v1_real_train.json"
    index = AnnotationIndex.open([path], cache=tmp_path)
    settings = AugmentSettings(rotate_probability=1.0, min_area=0.0, min_kept=0.0)
    rng = np.random.default_rng(0)
    compared = 0
    for start in range(0, 24, 4):
        rows = range(start, start + 4)
        views = [draw_view(index.size(row), rng, settings=settings) for row in rows]
        placed = place_in_mosaic(views, centre=mosaic_centre((900, 900), rng), size=(900, 900))
        for row, (matrix, region) in zip(rows, placed, strict=True):
            found = index.annotations(row)
            boxes, areas = np.asarray(found.boxes), np.asarray(found.areas, np.float64)
            order = np.arange(len(found))
            image = Instances(order, boxes, areas, found.polygons, {})
            warped = warp_instances(image, matrix, region, settings=settings)
            for place, i in enumerate(warped.labels[:12]):
                near = _around(warped.boxes[place], region)
                if (near[2] - near[0]) * (near[3] - near[1]) > 10_000:
                    continue  # the twin would take minutes
                mask = sampled_mask(found.polygons.parts(int(i)), matrix, near, fine=FINE)
                expected = mask.sum() / FINE**2
                rim = perimeter(warped.polygons.parts(place))
                assert abs(warped.areas[place] - expected) <= max(0.01 * expected, 0.25 * rim)
                ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                if len(ys):
                    ends = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]) / FINE
                    tight = ends + np.tile(near[:2], 2)
                    np.testing.assert_allclose(warped.boxes[place], tight, atol=1.0)
                    compared += 1
    assert compared > 20


def _around(box: np.ndarray, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Whole pixels around ``box`` with a margin of 3, within ``region``."""
    low = np.maximum(np.floor(box[:2]).astype(int) - 3, region[:2])
    high = np.minimum(np.ceil(box[2:]).astype(int) + 3, region[2:])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])

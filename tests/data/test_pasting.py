"""Copy-paste and InstaBoost: pixels move, masks follow, and the federated lists stay true."""

import numpy as np
import pytest

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.copy_paste import paste_instances, uncovered
from lvistk.data.augment.instaboost import SCALES, SHIFT, boost, fill_holes
from lvistk.data.augment.mosaic import Labels, Picture
from lvistk.data.augment.warp import bitmap_of
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import Bitmap
from lvistk.masks.polygons import Polygons

SETTINGS = AugmentSettings()
NONE = np.zeros(0, np.int64)


def rectangles(boxes: list[tuple[int, int, int, int]], labels: list[int]) -> Instances:
    outlines = [[np.array([[a, b], [c, b], [c, d], [a, d]], float)] for a, b, c, d in boxes]
    areas = [float((c - a) * (d - b)) for a, b, c, d in boxes]
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Instances(np.array(labels), found, np.array(areas), Polygons.from_lists(outlines), {})


class All(np.random.Generator):
    """Chooses every object."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, *_args, **_names):
        return np.zeros(_args[0] if _args else ())


def picture(
    grey: int, instances: Instances, negative: list[int], not_exhaustive: list[int]
) -> Picture:
    return Picture(
        np.full((40, 60, 3), grey, np.uint8),
        Labels(instances, instances, np.array(negative), np.array(not_exhaustive)),
    )


def test_pasting_covers_cuts_and_drops() -> None:
    host = rectangles([(0, 0, 20, 20), (30, 10, 34, 14), (40, 30, 50, 38)], [0, 1, 2])
    pasted = rectangles([(10, 0, 36, 20), (5, 30, 8, 33), (1, 36, 4, 39)], [5, 6, 2])
    below = picture(10, host, negative=[5, 7], not_exhaustive=[1])
    done = paste_instances(below, picture(200, pasted, [], []), All(), settings=SETTINGS)
    expected = np.full((40, 60), 10)
    for x0, y0, x1, y1 in ((10, 0, 36, 20), (5, 30, 8, 33), (1, 36, 4, 39)):
        expected[y0:y1, x0:x1] = 200
    np.testing.assert_array_equal(done.pixels[..., 0], expected)
    found = done.labels.instances
    assert found.labels.tolist() == [0, 2, 5, 6, 2]  # object 1 is covered wholly
    np.testing.assert_array_equal(found.boxes[0], [0, 0, 10, 20])
    np.testing.assert_allclose(found.areas[0], 200)
    assert list(found.bitmaps) == [0] and len(found.polygons.parts(0)) == 0
    assert len(found.polygons.parts(1)) == 1
    assert done.labels.missing.labels.tolist() == [0, 2]
    assert done.labels.negative.tolist() == [7]
    assert done.labels.not_exhaustive.tolist() == [1, 6]  # nobody looked for 6 here


def test_pasting_nothing_changes_nothing() -> None:
    below = picture(10, rectangles([(0, 0, 9, 9)], [0]), [], [])
    other = picture(200, Instances.empty(), [], [])
    assert paste_instances(below, other, All(), settings=SETTINGS) is below


def test_bitmaps_are_cut_as_polygons_are() -> None:
    instances = rectangles([(0, 0, 20, 20)], [3])
    instances.polygons = Polygons.from_lists([[]])
    instances.bitmaps = {0: Bitmap(0, 0, np.ones((20, 20), np.uint8))}
    cover = np.zeros((40, 60), bool)
    cover[:, 5:] = True
    left = uncovered(instances, cover, SETTINGS)
    np.testing.assert_array_equal(left.boxes, [[0, 0, 5, 20]])
    cover[:, 1:] = True  # a twentieth is left, less than min_kept
    assert len(uncovered(instances, cover, SETTINGS)) == 0


def test_holes_are_filled_from_their_surroundings() -> None:
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, :100], image[:, 100:] = 40, 160
    hole = np.zeros((60, 200), np.uint8)
    hole[20:40, 30:60] = hole[10:50, 140:165] = 1
    spoilt = image.copy()
    spoilt[hole == 1] = 255
    filled = fill_holes(spoilt, hole)
    assert np.abs(filled.astype(int) - image).max() <= 1
    np.testing.assert_array_equal(fill_holes(image, np.zeros_like(hole)), image)
    everything = fill_holes(image, np.ones_like(hole))  # nothing known: nothing to fill from
    np.testing.assert_array_equal(everything, image)


@pytest.mark.parametrize("seed", range(5))
def test_boosted_instances_lie_where_their_masks_say(seed: int) -> None:
    image = np.full((120, 160, 3), 30, np.uint8)
    instances = rectangles([(20, 30, 60, 80), (100, 20, 140, 50)], [1, 2])
    for (x0, y0, x1, y1), grey in zip(instances.boxes.astype(int), (150, 220), strict=True):
        image[y0:y1, x0:x1] = grey
    rng = np.random.default_rng(seed)
    pixels, moved = boost(image, instances, rng, settings=SETTINGS)
    assert moved.labels.tolist() == [1, 2]
    sides = instances.boxes[:, 2:] - instances.boxes[:, :2]
    shifts = (
        moved.boxes[:, :2] + moved.boxes[:, 2:] - instances.boxes[:, :2] - instances.boxes[:, 2:]
    ) / 2
    assert (np.abs(shifts) <= SHIFT * sides + 0.01).all()
    growth = np.sqrt(moved.areas / instances.areas)
    assert (growth >= SCALES[0] - 0.01).all() and (growth <= SCALES[1] + 0.01).all()
    cover = np.zeros((120, 160), bool)
    for i in range(2):
        bitmap = bitmap_of(moved, i, (120, 160))
        assert bitmap is not None
        x0, y0, x1, y1 = bitmap.box
        cover[y0:y1, x0:x1] |= bitmap.pixels.astype(bool)
    bright = pixels.max(axis=2) > 60
    assert (bright == cover).mean() > 0.96


def test_parts_stay_with_their_wearer_and_empty_images_pass() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 60, 3)).astype(np.uint8)
    nested = rectangles([(10, 10, 40, 40), (20, 20, 30, 30)], [1, 2])
    pixels, same = boost(image, nested, np.random.default_rng(0), settings=SETTINGS)
    assert pixels is image and same is nested
    pixels, none = boost(image, Instances.empty(), np.random.default_rng(0), settings=SETTINGS)
    assert pixels is image and len(none) == 0


def test_holes_of_bitmaps_are_filled_where_boxes_overlap() -> None:
    """Both triangles are lost (too small), so nothing of them may be left, also in the shared corner."""
    lower = np.tril(np.ones((30, 30), np.uint8))
    masks = {0: Bitmap(10, 10, lower), 1: Bitmap(25, 25, lower[::-1, ::-1].copy())}
    image = np.full((70, 80, 3), 30, np.uint8)
    for bitmap in masks.values():
        x0, y0, x1, y1 = bitmap.box
        image[y0:y1, x0:x1][bitmap.pixels == 1] = 200
    boxes = np.array([bitmap.box for bitmap in masks.values()], np.float32)
    areas = np.array([float(bitmap.area) for bitmap in masks.values()])
    instances = Instances(np.array([1, 2]), boxes, areas, Polygons.from_lists([[], []]), masks)
    lost = AugmentSettings(min_area=1e6)
    pixels, none = boost(image, instances, np.random.default_rng(0), settings=lost)
    assert len(none) == 0
    assert (np.abs(pixels.astype(int) - 30) <= 1).all()

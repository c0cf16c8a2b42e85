"""Views, painting and colour: pixels go where the matrix says, and polygons with them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.augment import (
    FILL,
    colour_matrix,
    draw_view,
    paint,
    recolour,
    reduction,
    resized,
    rotation,
)
from lvistk.data.augment.warp import envelopes, warp_instances
from lvistk.data.index.instances import Instances
from lvistk.masks.bitmaps import translation
from lvistk.masks.polygons import Polygons
from tests.reference.geometry import sampled_mask

OUTLINE = np.array([[14, 10], [50, 14], [44, 40], [30, 30], [18, 42]], float)


def detectron2_size(height: int, width: int, short: int, longest: int) -> tuple[int, int]:
    """ResizeShortestEdge.get_output_shape, read as text and told again."""
    if height < width:
        new = [float(short), short / height * width]
    else:
        new = [short / width * height, float(short)]
    if max(new) > longest:
        factor = longest / max(new)
        new = [side * factor for side in new]
    return int(new[0] + 0.5), int(new[1] + 0.5)


@settings(max_examples=200)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(100, 1400), st.integers(800, 2400))
def test_sizes_are_detectron2s(height: int, width: int, short: int, longest: int) -> None:
    found = resized((height, width), short_edge=short, long_edge=longest)
    expected = detectron2_size(height, width, short, longest)
    assert found == tuple(max(1, side) for side in expected)


def picture_of(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """White inside the outline, black outside, drawn from four by four samples per pixel."""
    fine = sampled_mask([outline], np.eye(3), (0, 0, size[1], size[0]))
    share = fine.reshape(size[0], 4, size[1], 4).mean(axis=(1, 3))
    return np.repeat(np.round(255 * share)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("scale", [0.3, 0.8, 1.0, 1.7])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 12, -75])
def test_pixels_and_polygons_land_on_the_same_place(
    scale: float, mirror: bool, degrees: int
) -> None:
    """The painted outline and the mapped one overlap but for half a pixel along the rim."""
    image = picture_of(OUTLINE, (50, 64))
    height, width = round(50 * scale), round(64 * scale)
    matrix = np.diag([width / 64, height / 50, 1.0])
    if mirror:
        matrix = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
    matrix = rotation(np.deg2rad(degrees), width / 2, height / 2) @ matrix
    canvas = np.empty((height, width, 3), np.uint8)
    paint(canvas, image, matrix, (0, 0, width, height))
    expected = sampled_mask([OUTLINE], matrix, (0, 0, width, height))
    expected = expected.reshape(height, 4, width, 4).mean(axis=(1, 3))
    inside = canvas[..., 1] / 255.0
    core = (expected == 0) | (expected == 1)
    rows, columns = np.mgrid[:height, :width] + 0.5
    back = np.linalg.inv(matrix) @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    rim = 1.0 / scale  # a pixel of the canvas, where the image mixes with the fill
    on_image = (back[:2] > rim).all(0) & (np.array([64, 50]) - rim > back[:2].T).all(1)
    on_image = on_image.reshape(height, width)
    assert np.abs(inside - expected)[core & on_image].mean() < 0.03
    weight, expected = inside * on_image, expected * on_image
    for axis in (rows, columns):  # centres of mass agree to a fifth of a pixel
        ours = (weight * axis).sum() / weight.sum()
        theirs = (expected * axis).sum() / expected.sum()
        assert abs(ours - theirs) < 0.2


def test_a_plain_scale_equals_the_warp_it_replaces() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    image = cv2.GaussianBlur(image, (7, 7), 2)
    for mirror in (False, True):
        matrix = np.diag([90 / 56, 64 / 40, 1.0])
        if mirror:
            matrix = np.array([[-1.0, 0, 90], [0, 1, 0], [0, 0, 1]]) @ matrix
        plain, warped = (np.empty((64, 90, 3), np.uint8) for _ in range(2))
        paint(plain, image, matrix, (0, 0, 90, 64))
        nudged = translation(1e-4, 0) @ matrix
        paint(warped, image, nudged, (0, 0, 90, 64))
        assert np.abs(plain[2:-2, 2:-2].astype(int) - warped[2:-2, 2:-2]).max() <= 4


def test_a_tile_paints_its_region_only() -> None:
    canvas = np.full((40, 60, 3), 7, np.uint8)
    image = np.full((10, 10, 3), 200, np.uint8)
    paint(canvas, image, translation(20, 5), (15, 0, 40, 30))
    assert (canvas[:, :15] == 7).all() and (canvas[30:] == 7).all() and (canvas[:, 40:] == 7).all()
    assert (canvas[6:14, 21:29] == 200).all()
    assert (canvas[20:30, 15:40] == FILL).all()
    paint(canvas, image, translation(20, 5), (40, 0, 40, 30))  # an empty region paints nothing


def test_views_follow_their_settings() -> None:
    rng = np.random.default_rng(1)
    plain = AugmentSettings(short_edges=(100,), flip=0.0)
    view = draw_view((50, 80), rng, settings=plain)
    assert (view.height, view.width) == (100, 160)
    np.testing.assert_allclose(view.matrix, np.diag([2.0, 2.0, 1.0]))
    flipped = draw_view((50, 80), rng, settings=AugmentSettings(short_edges=(100,), flip=1.0))
    np.testing.assert_allclose(flipped.matrix @ [0, 0, 1], [160, 0, 1])
    ranged = AugmentSettings(short_edges=(400, 1400), short_edge_mode="range", long_edge=1600)
    sides = [draw_view((500, 500), rng, settings=ranged).height for _ in range(300)]
    assert 400 <= min(sides) < 450 and 1350 < max(sides) <= 1400 and len(set(sides)) > 150
    turned = AugmentSettings(rotate_probability=1.0, rotate_degrees=15.0, flip=0.0)
    views = [draw_view((480, 640), rng, settings=turned) for _ in range(200)]
    angles = [np.rad2deg(np.arctan2(v.matrix[1, 0], v.matrix[0, 0])) for v in views]
    assert -15 <= min(angles) < -10 and 10 < max(angles) <= 15
    for v in views:
        np.testing.assert_allclose(v.matrix @ [320, 240, 1], [v.width / 2, v.height / 2, 1])


def test_a_crop_is_a_part_of_the_view() -> None:
    """Same scale, no larger than the side, everywhere in the image; pixels and polygons move alike."""
    plain = AugmentSettings(short_edges=(100,), long_edge=400, flip=0.0)
    crop = AugmentSettings(short_edges=(100,), long_edge=400, flip=0.0, crop=60)
    size = (50, 80)
    whole = draw_view(size, np.random.default_rng(0), settings=plain)
    corners = []
    for seed in range(2000):
        view = draw_view(size, np.random.default_rng(seed), settings=crop)
        assert (view.height, view.width) == (60, 60)
        shift = view.matrix @ np.linalg.inv(whole.matrix)
        np.testing.assert_allclose(shift[:2, :2], np.eye(2), atol=1e-12)
        corners.append(-shift[:2, 2])
    corners = np.array(corners)
    assert corners.min(axis=0).tolist() == [0, 0] and corners.max(axis=0).tolist() == [100, 40]
    small = AugmentSettings(short_edges=(40,), long_edge=400, crop=60)
    view = draw_view(size, np.random.default_rng(0), settings=small)
    assert (view.height, view.width) == (40, 60)


def test_reduction_keeps_detail() -> None:
    for scale, part in ((1.0, 1), (0.6, 1), (0.5, 2), (0.26, 2), (0.25, 4), (0.1, 8), (0.01, 8)):
        assert reduction(np.diag([scale, scale, 1.0])) == part
    assert reduction(rotation(1.0, 5, 5) @ np.diag([0.49, 0.3, 1.0])) == 2


def test_colour_of_no_strength_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3)).astype(np.uint8)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(recolour(image, colour_matrix(rng, 0.0)), image)
    changed = [recolour(image, colour_matrix(rng, 1.0)).astype(int) for _ in range(20)]
    assert np.mean([np.abs(c - image).mean() for c in changed]) > 10
    grey = np.full((2, 2, 3), 128, np.uint8)  # saturation and hue leave grey grey
    turned = recolour(grey, colour_matrix(rng, 1.0))
    assert np.ptp(turned.astype(int), axis=2).max() <= 1


def instances(outlines: list[np.ndarray]) -> Instances:
    polygons = Polygons.from_lists([[o] for o in outlines])
    boxes = np.array([[*o.min(0), *o.max(0)] for o in outlines], np.float32).reshape(-1, 4)
    area = [_area(o) for o in outlines]
    return Instances(np.arange(len(outlines)), boxes, np.array(area), polygons, {})


def _area(outline: np.ndarray) -> float:
    following = np.roll(outline, -1, axis=0)
    return abs((outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum()) / 2


def test_small_remains_are_dropped() -> None:
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    found = instances([square + np.array([x, 0.0]) for x in (0, 8, 9.5, 30)])
    limits = AugmentSettings(min_area=1.0, min_kept=0.1)
    kept = warp_instances(found, np.eye(3), (0, 0, 10, 10), settings=limits)
    assert kept.labels.tolist() == [0, 1]
    np.testing.assert_allclose(kept.areas, [100, 20], rtol=1e-3)
    np.testing.assert_allclose(kept.boxes, [[0, 0, 10, 10], [8, 0, 10, 10]])
    all_kept = AugmentSettings(min_area=0.0, min_kept=0.0)
    assert len(warp_instances(found, np.eye(3), (0, 0, 10, 10), settings=all_kept)) == 3
    assert len(warp_instances(Instances.empty(), np.eye(3), (0, 0, 10, 10), settings=limits)) == 0


def test_boxes_are_tight_or_envelopes() -> None:
    diamond = np.array([[10, 0], [20, 10], [10, 20], [0, 10]], float)
    matrix = rotation(np.deg2rad(45), 10, 10)
    tight = warp_instances(
        instances([diamond]), matrix, (-20, -20, 40, 40), settings=AugmentSettings()
    )
    half = np.sqrt(50)
    np.testing.assert_allclose(
        tight.boxes[0], [10 - half, 10 - half, 10 + half, 10 + half], rtol=1e-5
    )
    loose = AugmentSettings(tight_boxes=False)
    wide = warp_instances(instances([diamond]), matrix, (-20, -20, 40, 40), settings=loose)
    reach = np.sqrt(200)
    np.testing.assert_allclose(
        wide.boxes[0], [10 - reach, 10 - reach, 10 + reach, 10 + reach], rtol=1e-5
    )
    assert envelopes(np.zeros((0, 4)), matrix, (0, 0, 5, 5)).shape == (0, 4)

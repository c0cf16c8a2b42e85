"""Polygons under a matrix and clipped: against masks sampled on the canvas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.masks.clipping import clip_polygons
from lvistk.masks.polygons import Polygons, concatenate_polygons, map_polygons, select_polygons
from lvistk.masks.union_area import union_areas
from tests.reference.geometry import perimeter, sampled_mask

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
RECTANGLE = (8, 6, 61, 47)
numbers = st.floats(-20, 80, width=32)
part = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=9)
instance = st.lists(part, min_size=1, max_size=3)


def as_arrays(instances: list) -> list[list[np.ndarray]]:
    return [[np.array(points, float) for points in parts] for parts in instances]


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    angle, scale = draw(st.floats(-3.2, 3.2)), draw(st.floats(0.3, 3.0))
    mirror = draw(st.sampled_from([-1.0, 1.0]))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    shift = draw(st.tuples(st.floats(-30, 30), st.floats(-30, 30)))
    return np.array(
        [[mirror * cosine, -sine, shift[0]], [mirror * sine, cosine, shift[1]], [0.0, 0.0, 1.0]]
    )


@settings(max_examples=80, deadline=None)
@given(instances=st.lists(instance, min_size=1, max_size=3), matrix=matrices())
def test_area_and_box_are_those_of_the_warped_and_cropped_bitmap(
    instances: list, matrix: np.ndarray
) -> None:
    """The issue's bound: 1% or a quarter pixel times the perimeter; boxes tight to a pixel."""
    lists = as_arrays(instances)
    polygons = map_polygons(Polygons.from_lists(lists), matrix)
    clipped = clip_polygons(polygons, RECTANGLE)
    areas = union_areas(clipped.polygons)
    for i, parts in enumerate(lists):
        mask = sampled_mask(parts, matrix, RECTANGLE)
        within = clip_polygons(map_polygons(Polygons.from_lists([parts]), matrix), RECTANGLE)
        rim = perimeter(within.polygons.parts(0))
        expected = mask.sum() / 16
        assert abs(areas[i] - expected) <= max(0.01 * expected, 0.25 * rim) + 1e-9
        _check_box(clipped.boxes[i], mask)


def _check_box(box: np.ndarray, mask: np.ndarray) -> None:
    """The box holds every sample and is no more than a pixel larger, unless slivers hide between samples."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    x0, y0 = RECTANGLE[:2]
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 4 + [x0, y0, x0, y0]
    assert (box[:2] <= found[:2] + 0.125 + 1e-6).all() and (
        box[2:] >= found[2:] - 0.125 - 1e-6
    ).all()


@settings(max_examples=80, deadline=None)
@given(
    centre=st.tuples(st.floats(0, 60), st.floats(0, 50)),
    radii=st.lists(st.floats(4, 30), min_size=4, max_size=10),
    matrix=matrices(),
)
def test_boxes_are_tight_to_a_pixel(
    centre: tuple[float, float], radii: list[float], matrix: np.ndarray
) -> None:
    """On star-shaped outlines, which have no slivers thinner than the samples."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    outline = (
        np.array(centre) + np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None]
    )
    mask = sampled_mask([outline], matrix, RECTANGLE, fine=16)
    polygons = map_polygons(Polygons.from_lists([[outline]]), matrix)
    box = clip_polygons(polygons, RECTANGLE).boxes[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    x0, y0 = RECTANGLE[:2]
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 16 + [x0, y0, x0, y0]
    np.testing.assert_allclose(box, found, atol=1.0)


def test_a_square_half_outside() -> None:
    clipped = clip_polygons(Polygons.from_lists([[SQUARE], [SQUARE + 20]]), (5, -3, 15, 4))
    np.testing.assert_allclose(clipped.boxes, [[5, 0, 10, 4], [0, 0, 0, 0]])
    np.testing.assert_allclose(union_areas(clipped.polygons), [20, 0])
    assert clipped.touched.tolist() == [True, True]
    assert len(clipped.polygons.parts(1)) == 0


def test_an_untouched_polygon_stays_as_it_is() -> None:
    clipped = clip_polygons(Polygons.from_lists([[SQUARE]]), (0, 0, 10, 10))
    assert not clipped.touched[0]
    np.testing.assert_array_equal(clipped.polygons.parts(0)[0], SQUARE)


def test_seams_do_not_widen_the_box() -> None:
    """A hook that passes outside around the corner leaves a seam through the corner, without area."""
    hook = np.array(
        [[0, 2], [14, 2], [14, 14], [2, 14], [2, 8], [3, 8], [3, 13], [13, 13], [13, 3], [0, 3]],
        float,
    )
    box = clip_polygons(Polygons.from_lists([[hook]]), (0, 0, 10, 10)).boxes[0]
    np.testing.assert_allclose(box, [0, 2, 10, 10])  # the arms reach the right and the lower side
    mask = sampled_mask([hook], np.eye(3), (0, 0, 10, 10))
    assert not mask[-1, -1]
    arm = np.array([[0, 2], [14, 2], [14, 14], [12, 14], [12, 3], [0, 3]], float)
    box = clip_polygons(Polygons.from_lists([[arm]]), (0, 0, 10, 10)).boxes[0]
    np.testing.assert_allclose(box, [0, 2, 10, 3])


def test_parts_are_a_union_and_each_part_is_even_odd() -> None:
    nested = [SQUARE, SQUARE / 2 + 2]  # a disk, not a ring
    bow = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], float)  # two triangles
    overlapping = [SQUARE, SQUARE + 5]
    areas = union_areas(Polygons.from_lists([nested, [bow], overlapping, []]))
    np.testing.assert_allclose(areas, [100, 50, 175, 0], rtol=1e-2)  # 64 lines over 15 px


@pytest.mark.parametrize("count", [0, 1])
def test_empty_cases(count: int) -> None:
    polygons = Polygons.from_lists([[]] * count)
    clipped = clip_polygons(map_polygons(polygons, np.eye(3)), (0, 0, 5, 5))
    assert clipped.boxes.shape == (count, 4) and len(union_areas(clipped.polygons)) == count
    assert len(select_polygons(polygons, np.zeros(0, np.int64))) == 0


def test_select_and_concatenate() -> None:
    polygons = Polygons.from_lists([[SQUARE], [], [SQUARE + 1, SQUARE[:3] + 2]])
    chosen = select_polygons(polygons, np.array([2, 0, 2]))
    assert [len(chosen.parts(i)) for i in range(3)] == [2, 1, 2]
    np.testing.assert_array_equal(chosen.parts(2)[1], SQUARE[:3] + 2)
    both = concatenate_polygons([chosen, polygons])
    assert [len(both.parts(i)) for i in range(6)] == [2, 1, 2, 1, 0, 2]
    np.testing.assert_array_equal(both.parts(3)[0], SQUARE)

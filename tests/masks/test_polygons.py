"""Areas and tight boxes of flat polygons against plain loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lvistk.masks.polygons import (
    Polygons,
    instance_areas,
    part_areas,
    signed_part_areas,
    starts,
    tight_boxes,
)
from tests.reference import polygons as twin

SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2]]
TURNED = [[0, 2], [2, 2], [2, 0], [0, 0]]
NUMBER = st.integers(-400, 400).map(lambda n: n / 4)
PART = st.lists(st.tuples(NUMBER, NUMBER), min_size=0, max_size=7)


def test_by_hand() -> None:
    triangle = [[10, 10], [14, 10], [10, 13]]
    polygons = Polygons.from_lists(
        [[np.array(SQUARE)], [], [[1, 1, 5, 1, 5, 4], np.array(triangle)]]
    )
    assert len(polygons) == 3
    np.testing.assert_array_equal(part_areas(polygons), [4, 6, 6])
    np.testing.assert_array_equal(instance_areas(polygons), [4, 0, 12])
    np.testing.assert_array_equal(
        tight_boxes(polygons), [[0, 0, 2, 2], [0, 0, 0, 0], [1, 1, 14, 13]]
    )
    assert [part.tolist() for part in polygons.parts(2)][1] == triangle
    assert polygons.parts(1) == []


def test_the_sign_is_the_way_round() -> None:
    both = Polygons.from_lists([[np.array(SQUARE), np.array(TURNED)]])
    np.testing.assert_array_equal(signed_part_areas(both), [4, -4])
    np.testing.assert_array_equal(instance_areas(both), [8])


def test_empty() -> None:
    none = Polygons.from_lists([])
    assert len(none) == 0
    assert part_areas(none).shape == instance_areas(none).shape == (0,)
    assert tight_boxes(none).shape == (0, 4)
    assert starts([]).tolist() == [0]


def test_far_from_the_origin_nothing_is_lost() -> None:
    far = np.array(SQUARE) * 0.25 + 60_000
    assert instance_areas(Polygons.from_lists([[far]]))[0] == 0.25


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(PART, max_size=3), max_size=5))
def test_against_the_twin(instances: list) -> None:
    polygons = Polygons.from_lists(
        [[np.array(p).reshape(-1) for p in parts] for parts in instances]
    )
    areas = [[abs(twin.shoelace(part)) for part in parts] for parts in instances]
    np.testing.assert_allclose(part_areas(polygons), [a for row in areas for a in row], atol=1e-9)
    np.testing.assert_allclose(instance_areas(polygons), [sum(row) for row in areas], atol=1e-9)
    boxes = [twin.tight_box(parts) for parts in instances]
    np.testing.assert_array_equal(tight_boxes(polygons), np.array(boxes).reshape(-1, 4))

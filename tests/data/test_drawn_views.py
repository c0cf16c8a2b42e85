"""What views of an image are drawn: how often, how large, turned which way, and without distortion."""

import numpy as np

from lvistk.config.train import AugmentSettings
from lvistk.data.augment.augment import View, draw_view, rotation

DRAWS = 600


def views(size: tuple[int, int] = (90, 90), **settings: object) -> list[View]:
    rng = np.random.default_rng(3)
    augment = AugmentSettings(**({"short_edges": (90,), "flip": 0.0} | settings))  # type: ignore[arg-type]
    return [draw_view(size, rng, settings=augment) for _ in range(DRAWS)]


def test_rotation_by_hand() -> None:
    """A quarter turn clockwise about (3, 2), y pointing down: right goes below, above goes right."""
    turn = rotation(np.pi / 2, 3.0, 2.0)
    np.testing.assert_allclose(turn @ [3, 2, 1], [3, 2, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [4, 2, 1], [3, 3, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [3, 1, 1], [4, 2, 1], atol=1e-12)


def test_turned_views_are_not_distorted() -> None:
    """A turned view is a similarity: twice the size both ways, right angles kept, not mirrored."""
    for view in views((45, 80), rotate_probability=1.0, rotate_degrees=40.0):
        linear = view.matrix[:2, :2]
        np.testing.assert_allclose(linear.T @ linear, 4 * np.eye(2), atol=1e-9)
        assert np.linalg.det(linear) > 0


def test_each_short_edge_comes_equally_often() -> None:
    """600 draws of three: a standard deviation is 11.5."""
    heights, counts = np.unique(
        [view.height for view in views(short_edges=(48, 64, 80))], return_counts=True
    )
    assert heights.tolist() == [48, 64, 80]
    assert np.abs(counts - 200).max() < 50


def test_flips_and_turns_come_as_often_as_they_are_told() -> None:
    """600 draws at a quarter: 150, with a standard deviation of 10.6. A flip mirrors left and right."""
    flipped = [view.matrix[0, 0] < 0 for view in views(flip=0.25)]
    assert 110 < sum(flipped) < 190
    for view in views(flip=0.25):
        left = view.matrix @ [0, 10, 1]
        np.testing.assert_allclose(left, [90 if view.matrix[0, 0] < 0 else 0, 10, 1])
    turned = [view.matrix[0, 1] != 0 for view in views(rotate_probability=0.25)]
    assert 110 < sum(turned) < 190


def test_a_long_edge_is_the_limit() -> None:
    """40 x 160: a short edge of 90 would make the long one 360."""
    view = views((40, 160), long_edge=300)[0]
    assert (view.height, view.width) == (75, 300)
    np.testing.assert_allclose(view.matrix, np.diag([300 / 160, 75 / 40, 1.0]))
    range_of_one = views(short_edges=(70,), short_edge_mode="range")
    assert {view.height for view in range_of_one} == {70}

import numpy as np
import pytest

from lvistk.config.inference import ViewSettings
from lvistk.errors import UserError
from lvistk.inference.views import View, geometry, plan_views

BOXES = np.array([[0, 0, 10, 20], [31.25, 7.5, 640, 480]], np.float32)


def test_sizes_as_detectron2_rounds_them() -> None:
    assert geometry(View(800, 1333), (480, 640)).size == (800, 1067)
    assert geometry(View(800, 1333), (300, 1000)).size == (400, 1333)
    assert geometry(View(1, 9), (3, 4000)).size == (1, 9)


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_go_to_the_view_and_back(flip: bool) -> None:
    place = geometry(View(333, 999, flip), (480, 640))
    np.testing.assert_allclose(place.to_image(place.to_view(BOXES)), BOXES, atol=1e-4)


def test_flip_by_hand() -> None:
    place = geometry(View(240, 999, flip=True), (480, 640))
    np.testing.assert_allclose(place.to_view(BOXES[:1]), [[315, 0, 320, 10]])
    assert place.scale == pytest.approx(0.5)


def test_the_image_itself_is_a_view_without_rounding() -> None:
    place = geometry(View(480, 999), (480, 640))
    boxes = np.random.default_rng(0).uniform(0, 480, (50, 2)).astype(np.float32)
    boxes = np.concatenate([boxes / 3, boxes], 1)
    np.testing.assert_array_equal(place.to_image(boxes), boxes)


def test_plan() -> None:
    settings = ViewSettings(
        short_edges=(400, 800), long_edge=1333, flip=True, valid_ranges=((96, 1e9), (0, 256))
    )
    assert plan_views(settings) == [
        View(400, 1333, False, 96, 1e9),
        View(400, 1333, True, 96, 1e9),
        View(800, 1333, False, 0, 256),
        View(800, 1333, True, 0, 256),
    ]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (ViewSettings(short_edges=(400, 800), valid_ranges=((0, 9),)), "1 valid_ranges for 2"),
        (ViewSettings(valid_ranges=((9, 9),)), "empty"),
        (ViewSettings(short_edges=()), "at least one"),
    ],
)
def test_a_wrong_plan_is_refused(settings: ViewSettings, word: str) -> None:
    with pytest.raises(UserError, match=word):
        plan_views(settings)

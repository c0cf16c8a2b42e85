"""Single images: do the polygons say what the pixels show, and do the numbers come out as LVIS's."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from lvistk.data.synthetic import GenerateSettings
from lvistk.data.synthetic.catalogue import kinds
from lvistk.data.synthetic.outline import polygons, signed_area
from lvistk.data.synthetic.plan import Popularity, Wanted, plan_image
from lvistk.data.synthetic.scene import SCALE, Scene, Style, _outline, cover
from lvistk.data.synthetic.shapes import FAMILIES

SETTINGS = GenerateSettings(seed=3)


def rasterise(parts: list[np.ndarray], height: int, width: int) -> np.ndarray:
    flat = [points.ravel().tolist() for points in parts]
    merged = coco_mask.merge(coco_mask.frPyObjects(flat, height, width))
    return coco_mask.decode(merged).astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_polygons_are_the_visible_pixels(family) -> None:
    """At the fine resolution, under occlusion, for every family: IoU of .95 and mostly above."""
    rng = np.random.default_rng(1)
    kind = next(kind for kind in kinds(24 * 4) if kind.family is family)
    overlaps = []
    for _ in range(4):
        scene = Scene(240, 320, rng=rng)
        for _ in range(6):
            scene.add(Wanted(kind.rank, ""), kind)
        scene.add_occluder()
        _, drawn = scene.finish()
        labels = {item.wanted: None for item in drawn}
        assert labels
        visible = [scene._labels == label for label in range(1, len(scene._wanted) + 1)]
        for item in drawn:
            got = rasterise([p * SCALE for p in item.polygons], *scene._labels.shape)
            overlaps.append(max(iou(got, mask) for mask in visible))
    assert min(overlaps) > 0.95
    assert np.mean(overlaps) > 0.97


def test_image_pixels_agree_with_the_polygons() -> None:
    """At the image's own resolution, against the cells that cover at least half a pixel."""
    rng = np.random.default_rng(2)
    overlaps = []
    for _ in range(12):
        scene = Scene(120, 160, rng=rng)
        for kind in kinds(24):
            scene.add(Wanted(kind.rank, ""), kind)
        _, drawn = scene.finish()
        fine = scene._labels.reshape(120, SCALE, 160, SCALE)
        shares = {
            label: (fine == label).mean(axis=(1, 3)) for label in range(1, len(scene._wanted) + 1)
        }
        for item in drawn:
            if sum(abs(signed_area(points)) for points in item.polygons) < 150:
                continue
            got = rasterise(item.polygons, 120, 160)
            overlaps.append(max(iou(got, share >= 0.5) for share in shares.values()))
    assert len(overlaps) > 30
    # bars of 1 to 2 pixels lose a column to rounding in both rasters; solid things don't
    assert np.median(overlaps) > 0.95
    assert np.quantile(overlaps, 0.05) > 0.8


def test_a_ring_is_one_keyhole_polygon() -> None:
    mask = np.zeros((90, 90), np.uint8)
    cv2.circle(mask, (45, 45), 40, 1, -1)
    cv2.circle(mask, (45, 45), 30, 0, -1)
    (ring,) = polygons(mask, origin=(0, 0), scale=1)
    assert abs(signed_area(ring)) == pytest.approx(mask.sum(), rel=0.02)
    assert iou(rasterise([ring], 90, 90), mask > 0) > 0.97


def test_outline_by_hand() -> None:
    """A 40 x 30 block at (20, 10), scaled by 2: it ends at pixel edges, not at pixel centres."""
    mask = np.ones((30, 40), np.uint8)
    (block,) = polygons(mask, origin=(20, 10), scale=2)
    assert {tuple(corner) for corner in block} == {(10, 5), (30, 5), (30, 20), (10, 20)}
    assert polygons(np.zeros((5, 5), np.uint8), origin=(0, 0), scale=1) == []


def test_many_holes_and_parts() -> None:
    mask = np.zeros((120, 200), np.uint8)
    mask[5:100, 5:100] = 1
    for y in range(10, 90, 30):
        for x in range(10, 90, 30):
            mask[y : y + 20, x : x + 20] = 0
    mask[20:60, 130:180] = 1
    parts = polygons(mask, origin=(0, 0), scale=1)
    assert len(parts) == 2
    assert iou(rasterise(parts, 120, 200), mask > 0) > 0.98


def test_area_ratios_span_thin_to_solid() -> None:
    """Whole shapes, mask area over box area: from about .03 to about .95."""
    rng = np.random.default_rng(0)
    ratios = {}
    for kind in kinds(72):
        shapes = [cover(_outline(kind, 480, rng, style=Style(), small=False)) for _ in range(20)]
        ratios[kind.name] = [shape.mean() for shape in shapes]
    every = np.concatenate(list(ratios.values()))
    assert every.min() < 0.04
    assert every.max() > 0.93
    histogram = np.histogram(every, [0, 0.25, 0.5, 0.75, 1])[0] / len(every)
    assert (histogram > 0.08).all()


@pytest.mark.parametrize("images", [600, 1200, 3000])
def test_groups_exist_at_any_size(images: int) -> None:
    popularity = Popularity(SETTINGS, "train")
    counts = np.zeros(SETTINGS.categories, dtype=int)
    for index in range(images):
        counts[popularity.present(index)] += 1
    rare = (counts >= 1) & (counts <= 10)
    common = (counts >= 11) & (counts <= 100)
    assert rare.sum() == 6
    assert common.sum() >= 7
    assert (counts > 100).sum() >= (5 if images == 600 else 10)


def test_counts_follow_the_laws() -> None:
    popularity = Popularity(SETTINGS, "train")
    counts = sum(np.bincount(popularity.present(i), minlength=24) for i in range(2000))
    expected = np.minimum(popularity._reached(2000), np.array([1e9, 95, 9])[popularity.group])
    tail = popularity.group > 0
    assert (np.abs(counts - expected)[tail] <= 1.01).all()
    # two turns of a frequent category may fall into the same image
    assert (counts <= expected + 1.01).all() and (counts >= 0.93 * expected - 1.01).all()


def test_every_category_occurs_in_val() -> None:
    popularity = Popularity(SETTINGS, "val")
    counts = sum(np.bincount(popularity.present(i), minlength=24) for i in range(150))
    assert counts.min() >= 8


def test_many_categories_keep_images_small() -> None:
    popularity = Popularity(GenerateSettings(categories=1203), "train")
    sizes = [len(popularity.present(index)) for index in range(0, 2000, 7)]
    assert 2.5 < np.mean(sizes) < 6
    assert len({kind.name for kind in kinds(1203)}) == 1203


def test_the_share_left_unannotated() -> None:
    popularity = Popularity(SETTINGS, "train")
    reasons = [
        wanted.reason
        for index in range(400)
        for wanted in plan_image(
            popularity, index, split="train", share=0.2, rng=np.random.default_rng([1, index])
        )
    ]
    assert 0.2 < np.mean([reason != "" for reason in reasons]) < 0.27

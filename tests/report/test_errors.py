"""Kinds of error: one image for each, and random worlds against plain loops."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.report.errors import KINDS, Errors
from lvistk.report.examine import find_errors
from tests.evaluation.worlds import (
    FAST,
    annotation,
    both_result,
    box_result,
    image,
    mask_result,
    world,
    write,
)
from tests.reference.error_kinds import error_kinds


def analysed(folder: Path, gt: dict, results: list[dict], kind: str = "bbox") -> Errors:
    paths = write(folder, gt, results)
    found = evaluate(paths[0], Results(paths[1]), FAST)
    errors = find_errors(found, Results(paths[1]), kind=kind, threads=1)
    assert errors.ap50 == pytest.approx(found.metrics[kind]["AP50"], abs=1e-12)
    return errors


def counts(errors: Errors) -> dict[str, int]:
    return {kind.name: kind.count for kind in errors.kinds if kind.count}


BOX, FAR, HALF = (0, 0, 10, 10), (25, 25, 10, 10), (0, 0, 10, 4)
CASES = {
    "classification": [(2, BOX, 0.9)],
    "localisation": [(1, HALF, 0.9)],
    "both": [(2, HALF, 0.9)],
    "duplicate": [(1, BOX, 0.9), (1, BOX, 0.8)],
    "background": [(1, BOX, 0.9), (2, FAR, 0.8)],
}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_one_image_for_each_kind(tmp_path: Path, name: str, kind: str) -> None:
    """One ground truth instance of category 1; category 2 is verified absent."""
    gt = world([image(1, negative=(2,))], [annotation(1, 1, 1, BOX)], categories=2)
    make = box_result if kind == "bbox" else mask_result
    results = [make(1, category, box, score) for category, box, score in CASES[name]]
    found = counts(analysed(tmp_path, gt, results, kind))
    expected = {name: 1} | ({"missed": 1} if name == "both" else {})
    assert found == expected


def test_gains_by_hand(tmp_path: Path) -> None:
    """A background error above the only true positive: precision 1/2 becomes 1."""
    gt = world([image(1)], [annotation(1, 1, 1, BOX)], categories=1)
    errors = analysed(tmp_path, gt, [box_result(1, 1, FAR, 0.9), box_result(1, 1, BOX, 0.8)])
    gains = {kind.name: kind.gain for kind in errors.kinds}
    assert errors.ap50 == pytest.approx(0.5)
    assert gains["background"] == pytest.approx(0.5)
    assert all(gains[name] == pytest.approx(0) for name in KINDS if name != "background")


def test_what_is_not_judged_is_no_error(tmp_path: Path) -> None:
    """Category 2 is neither annotated nor listed; category 3 is not exhaustive; an ignored ground truth."""
    images = [image(1, negative=(3,), open_=(3,))]
    gts = [annotation(1, 1, 1, BOX), annotation(2, 1, 1, FAR, ignore=1)]
    results = [box_result(1, 2, BOX, 0.9), box_result(1, 3, FAR, 0.8), box_result(1, 1, FAR, 0.7)]
    assert counts(analysed(tmp_path, world(images, gts), results)) == {"missed": 1}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_what_instances_are_called(tmp_path: Path, kind: str) -> None:
    """Categories 1 and 4 are rare, 2 common, 3 frequent; the best detection on each decides."""
    near = (0, 0, 10, 9)
    images = [image(number, negative=tuple({1, 2, 3, 4} - {own})) for number, own in
              ((1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (6, 1))]  # fmt: skip
    gts = [
        annotation(p["id"], p["id"], c, BOX)
        for p, c in zip(images, (1, 1, 2, 3, 3, 1), strict=True)
    ]
    images.append(image(7))  # where category 4 is not judged
    gts.append(annotation(7, 7, 1, BOX))
    make = box_result if kind == "bbox" else mask_result
    results = [
        make(1, 1, BOX, 0.5), make(1, 3, near, 0.9),  # a frequent name lies better scored on it
        make(2, 4, BOX, 0.9), make(2, 1, BOX, 0.8),
        make(3, 2, near, 0.4), make(3, 1, BOX, 0.3),
        make(4, 2, BOX, 0.2),
        make(5, 3, HALF, 0.9),  # too far off
        make(7, 4, BOX, 0.9), make(7, 1, BOX, 0.1),
    ]  # fmt: skip
    found = analysed(tmp_path, world(images, gts, categories=4), results, kind)
    assert found.named.tolist() == [[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 1, 0, 1]]


def test_categories_without_frequency_have_no_such_table(tmp_path: Path) -> None:
    gt = world([image(1)], [annotation(1, 1, 1, BOX)], categories=1)
    gt["categories"][0].pop("frequency")
    assert not analysed(tmp_path, gt, [box_result(1, 1, BOX, 0.9)]).named.any()


def test_nothing_at_all(tmp_path: Path) -> None:
    errors = analysed(tmp_path, world([image(1)], []), [box_result(1, 1, BOX, 0.5)])
    assert errors.ap50 is None and not counts(errors)
    assert all(kind.gain is None for kind in errors.kinds)


@pytest.mark.parametrize("seed", range(12))
def test_random_worlds_are_what_plain_loops_say(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes, categories = 4, 4
    gts, detections = [], []
    for scene in range(1, scenes + 1):
        for _ in range(rng.integers(0, 5)):
            gts.append((scene, int(rng.integers(1, categories + 1)), _box(rng)))
    for scene, category, box in gts:
        for _ in range(rng.integers(0, 4)):
            other = category if rng.random() < 0.6 else int(rng.integers(1, categories + 1))
            moved = tuple(max(v + int(rng.integers(-3, 4)), 1) for v in box)
            detections.append((scene, other, float(rng.random()), moved))
    detections += [(1, 1, float(rng.random()), _box(rng)) for _ in range(3)]
    lists = {
        scene: {c for c in range(1, categories + 1) if rng.random() < 0.5} for scene in (1, 2, 3)
    }
    positive = {(scene, category) for scene, category, _ in gts}
    negative = {(p, c) for p, own in lists.items() for c in own if (p, c) not in positive}
    loose = {(p, c) for p, c in positive if rng.random() < 0.3}
    images = [
        image(
            scene,
            negative=tuple(c for p, c in negative if p == scene),
            open_=tuple(c for p, c in loose if p == scene),
        )
        for scene in range(1, scenes + 1)
    ]
    records = [annotation(k + 1, *gt) for k, gt in enumerate(gts)]
    results = [both_result(p, c, box, score) for p, c, score, box in detections]
    found = analysed(tmp_path, world(images, records, categories=categories), results)
    now, expected = error_kinds(gts, detections, negative=negative, not_exhaustive=loose)
    assert found.ap50 == pytest.approx(now, abs=1e-12)
    for kind in found.kinds:
        assert kind.count == expected[kind.name][0], kind
        assert kind.gain == pytest.approx(expected[kind.name][1], abs=1e-12), kind


def _box(rng: np.random.Generator) -> tuple[int, int, int, int]:
    x, y = rng.integers(1, 22, 2)
    w, h = rng.integers(5, 15, 2)
    return int(x), int(y), int(w), int(h)

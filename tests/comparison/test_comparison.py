"""Resampled scores equal evaluations of copied images; differences and their intervals."""

import json
from pathlib import Path

import numpy as np
import pytest

from lvistk.comparison.bootstrap import BLOCK, draw_images, resampled_ap
from lvistk.comparison.compare import Comparison, compare, resampled_scores
from lvistk.comparison.side import Side, side_of
from lvistk.config.evaluation import EvaluateSettings
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Evaluation, Results, evaluate
from lvistk.stages.commands.compare import run
from tests.evaluation.worlds import annotation, both_result, image, rle, world, write

LIMIT = 4
"""Detections per category of AP-fixed: few enough to cut."""
ALL = EvaluateSettings(area_ratio_edges=(0.7,), fixed_detections=LIMIT, threads=1)


def triangle(x: int, y: int, w: int, h: int) -> list[list[int]]:
    """Half of its box."""
    return [[x, y, x + w, y, x, y + h]]


def random_world(seed: int, *, count: int = 6) -> tuple[dict, list[dict]]:
    """A ground truth instance of three categories, half of it triangles, and results near it."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for number in range(1, count + 1):
        images.append(image(number, negative=(3,) if number % 2 else (), open_=(2,)))
        for _ in range(rng.integers(1, 4)):
            x, y, w, h = (int(v) for v in rng.integers((1, 1, 6, 6), (20, 20, 16, 16)))
            category = int(rng.integers(1, 4))
            record = annotation(len(annotations) + 1, number, category, (x, y, w, h))
            thin = bool(rng.integers(2))
            if thin:
                record |= {"segmentation": triangle(x, y, w, h), "area": w * h / 2}
            annotations.append(record)
            for _ in range(rng.integers(0, 3)):
                near = (x + int(rng.integers(0, 3)), y, w, h + int(rng.integers(0, 4)))
                found = both_result(number, category, near, float(rng.random()))
                results.append(found | {"segmentation": rle(triangle(*near))} if thin else found)
        results.append(both_result(number, 3, (30, 30, 8, 8), float(rng.random())))
    kept = [i | {"neg_category_ids": _absent(i, annotations)} for i in images]
    return world(kept, annotations), results


def _absent(number: dict, annotations: list[dict]) -> list[int]:
    present = {a["category_id"] for a in annotations if a["image_id"] == number["id"]}
    return [c for c in number["neg_category_ids"] if c not in present]


def copied(gt: dict, results: list[dict], weights: np.ndarray) -> tuple[dict, list[dict]]:
    """The world with image k standing there ``weights[k]`` times, copies beside each other."""
    numbers = {
        number["id"]: [100 * number["id"] + c for c in range(weights[k])]
        for k, number in enumerate(gt["images"])
    }
    images = [p | {"id": n} for p in gt["images"] for n in numbers[p["id"]]]
    annotations = [
        a | {"id": 1000 * a["id"] + c, "image_id": n}
        for a in gt["annotations"]
        for c, n in enumerate(numbers[a["image_id"]], 1)
    ]
    twins = [r | {"image_id": n} for r in results for n in numbers[r["image_id"]]]
    return gt | {"images": images, "annotations": annotations}, twins


def evaluated(
    folder: Path, gt: dict, results: list[dict], settings: EvaluateSettings = ALL
) -> Evaluation:
    folder.mkdir(exist_ok=True)
    paths = write(folder, gt, results)
    return evaluate(paths[0], Results(paths[1]), settings)


def side(found: Evaluation, settings: EvaluateSettings = ALL) -> Side:
    return side_of(found, fixed_detections=settings.fixed_detections, threads=1)


def means(found: Evaluation, part: str) -> np.ndarray:
    """AP (C, T) of a table, or of a bucket of it."""
    table, _, label = part.partition(" ")
    range_ = found.ranges.ratio_range(found.ranges.ratio_labels.index(label)) if label else 0
    return found.scores[table].precision[:, :, :, range_].mean(axis=1).T


PARTS = ("segm", "bbox", "boundary", "segm_fixed", "bbox_fixed")
BUCKETS = [f"{table} {label}" for table in ("segm", "bbox") for label in ("0-0.7", "0.7-1")]


@pytest.mark.parametrize("seed", range(4))
def test_resampled_scores_equal_those_of_copied_images(tmp_path: Path, seed: int) -> None:
    """Every table and bucket, against the evaluator itself on images that stand there several times."""
    gt, results = random_world(seed)
    found = evaluated(tmp_path / "once", gt, results)
    known = side(found).parts
    assert set(known) == {*PARTS, *BUCKETS}
    weights = np.stack([np.ones(6, int), *(draw_images(6, seed=seed, sample=k) for k in (0, 1))])
    assert (weights.sum(axis=1) == 6).all()
    worlds = [found]
    worlds += [evaluated(tmp_path / "copied", *copied(gt, results, w)) for w in weights[1:]]
    for name, part in known.items():
        drawn = resampled_ap(part.outcomes, weights)
        for one, again in zip(drawn, worlds, strict=True):
            np.testing.assert_allclose(one, means(again, name), atol=1e-12, err_msg=name)


def test_the_limit_of_ap_fixed_matters_here(tmp_path: Path) -> None:
    """Else the test above says nothing of it: the limit cuts, and in another place in another resample."""
    gt, results = random_world(0)
    found = evaluated(tmp_path, gt, results)
    known = side(found).parts["segm_fixed"].outcomes
    counts = np.diff(known.first)
    assert (counts > LIMIT).any()
    w = draw_images(6, seed=0, sample=0)[None]
    free = resampled_ap(known._replace(limit=1000), w)
    assert np.nanmax(np.abs(free - resampled_ap(known, w))) > 1e-3


def test_scores_resampled_one_by_one_differ_by_what_compare_finds(tmp_path: Path) -> None:
    """Each side by itself, at another time: the same images in each resample, so the same errors."""
    gt, results = random_world(5, count=30)
    worse = [r | {"score": 1 - r["score"]} for r in results]
    sides = [
        side(evaluated(tmp_path / name, gt, one)) for name, one in (("a", worse), ("b", results))
    ]
    samples = BLOCK + 9
    found = compare(*sides, samples=samples, seed=1, level=0.9, threads=1)
    a, b = (resampled_scores(one, samples=samples, seed=1, threads=1) for one in sides)
    assert set(a) == set(found.scores) - {"box_mask_gap"}
    for table in a:
        for one in found.scores[table]:
            steps = b[table][one.name] - a[table][one.name]
            steps = steps[~np.isnan(steps)]
            assert steps.std(ddof=1) == pytest.approx(one.error, abs=1e-6), (table, one.name)


def test_values_are_the_evaluations_and_intervals_hold_them(tmp_path: Path) -> None:
    gt, results = random_world(5, count=30)
    worse = [r | {"score": 1 - r["score"]} for r in results]
    a, b = evaluated(tmp_path / "a", gt, worse), evaluated(tmp_path / "b", gt, results)
    samples = BLOCK + 9
    found = compare(side(a), side(b), samples=samples, seed=1, level=0.9, threads=2)
    for table, one in every(found):
        if table == "segm_by_area_ratio":
            label, _, name = one.name.partition(" ")
            values = [m.metrics[table][label][name.replace(" ", "_")] for m in (a, b)]
        else:
            values = [m.metrics[table][one.name] for m in (a, b)]
        assert [one.a, one.b] == values
        if None not in values:
            assert one.difference == values[1] - values[0]
            assert float(one.low or 0) <= float(one.high or 0)
            assert 0 <= float(one.better or 0) <= 1
    assert set(found.scores) == {*PARTS, "box_mask_gap", "segm_by_area_ratio"}
    names = [one.name for one in found.scores["segm_by_area_ratio"]]
    assert names[:4] == ["0-0.7 AP", "0-0.7 AP50", "0-0.7 AP75", "0-0.7 box AP"]
    assert names[4] == "0.7-1 AP"
    assert [one.name for one in found.categories["segm"]] == ["c0", "c1", "c2"]
    for threads, seed in ((1, 1), (1, 2)):
        again = compare(side(a), side(b), samples=samples, seed=seed, level=0.9, threads=threads)
        assert (again == found) == (seed == 1)


def every(found: Comparison) -> list:
    return [(table, one) for table, rows in found.scores.items() for one in rows]


def test_the_gap_of_a_resample_is_that_of_its_scores(tmp_path: Path) -> None:
    """By hand: the gap's interval from resampled box and mask AP, one resample after another."""
    gt, results = random_world(6, count=8)
    a = side(evaluated(tmp_path / "a", gt, results[::2]))
    b = side(evaluated(tmp_path / "b", gt, results))
    found = compare(a, b, samples=40, seed=3, level=0.5, threads=1)
    gap = found.scores["box_mask_gap"][0]
    steps = []
    for sample in range(40):
        w = draw_images(8, seed=3, sample=sample)[None]
        box, mask = (
            [np.nanmean(resampled_ap(one.parts[kind].outcomes, w)) for one in (a, b)]
            for kind in ("bbox", "segm")
        )
        steps.append((box[1] - mask[1]) - (box[0] - mask[0]))
    low, high = np.quantile(steps, [0.25, 0.75])
    assert gap.low == pytest.approx(low, abs=1e-6) and gap.high == pytest.approx(high, abs=1e-6)
    assert gap.error == pytest.approx(np.std(steps, ddof=1), abs=1e-6)


def test_no_difference_is_surely_none(tmp_path: Path) -> None:
    found = side(evaluated(tmp_path, *random_world(1)))
    for _, one in every(compare(found, found, samples=20, seed=0, level=0.95, threads=1)):
        if one.difference is not None:
            assert one[3:] == (0, 0, 0, 0, 0.5)


def test_results_with_a_gt_and_their_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gt, results = random_world(2)
    paths = write(tmp_path, gt, results)
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps([*results[::2], {**results[0], "category_id": 99}]))
    out = tmp_path / "differences.json"
    found = run(fewer, paths[1], gt=paths[0], samples=10, threads=1, out=out)
    told = capsys.readouterr().err
    assert (
        f"warning: A: {fewer.name}: 1 detections whose category is not in the ground truth" in told
    )
    written = json.loads(out.read_text())
    assert written["samples"] == 10 and len(written["categories"]["segm"]) == 3
    assert written["scores"]["segm"][0]["difference"] == found.scores["segm"][0].difference
    assert set(found.scores) == {"segm", "bbox", "box_mask_gap", "segm_by_area_ratio"}
    more = run(fewer, paths[1], gt=paths[0], samples=10, threads=1, boundary=True, fixed=True)
    assert set(more.scores) == {*found.scores, "boundary", "segm_fixed", "bbox_fixed"}
    assert all(more.scores[table] == rows for table, rows in found.scores.items())
    with pytest.raises(UserError, match="not an evaluate stage"):
        run(fewer, paths[1])
    with pytest.raises(UserError, match="at least 2"):
        run(fewer, paths[1], gt=paths[0], samples=1)
    other = evaluated(tmp_path / "other", *random_world(3))
    mine = evaluated(tmp_path / "mine", gt, results)
    with pytest.raises(UserError, match="different ground truth instances"):
        compare(side(mine), side(other), samples=2, seed=0, level=0.9, threads=1)

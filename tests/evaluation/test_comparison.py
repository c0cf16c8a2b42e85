"""Resampled scores equal evaluations of copied photos; differences and their intervals."""

import json
from pathlib import Path

import numpy as np
import pytest

from lvistk.errors import UserError
from lvistk.evaluation.comparison.bootstrap import draw_photos, outcomes, resampled_ap
from lvistk.evaluation.comparison.compare import compare
from lvistk.evaluation.evaluate import Evaluation, Results, evaluate
from lvistk.stages.compare import run
from tests.evaluation.worlds import FAST, annotation, both_result, image, world, write


def random_world(seed: int, *, photos: int = 6) -> tuple[dict, list[dict]]:
    """A truth of three categories and results near it."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for photo in range(1, photos + 1):
        images.append(image(photo, negative=(3,) if photo % 2 else (), open_=(2,)))
        for _ in range(rng.integers(1, 4)):
            x, y, w, h = (int(v) for v in rng.integers((1, 1, 6, 6), (20, 20, 16, 16)))
            category = int(rng.integers(1, 4))
            record = annotation(len(annotations) + 1, photo, category, (x, y, w, h))
            annotations.append(record)
            for _ in range(rng.integers(0, 3)):
                near = (x + int(rng.integers(0, 3)), y, w, h + int(rng.integers(0, 4)))
                results.append(both_result(photo, category, near, float(rng.random())))
        results.append(both_result(photo, 3, (30, 30, 8, 8), float(rng.random())))
    kept = [i | {"neg_category_ids": _absent(i, annotations)} for i in images]
    return world(kept, annotations), results


def _absent(photo: dict, annotations: list[dict]) -> list[int]:
    present = {a["category_id"] for a in annotations if a["image_id"] == photo["id"]}
    return [c for c in photo["neg_category_ids"] if c not in present]


def copied(truth: dict, results: list[dict], weights: np.ndarray) -> tuple[dict, list[dict]]:
    """The world with photo k standing there ``weights[k]`` times, copies beside each other."""
    numbers = {
        photo["id"]: [100 * photo["id"] + c for c in range(weights[k])]
        for k, photo in enumerate(truth["images"])
    }
    images = [p | {"id": n} for p in truth["images"] for n in numbers[p["id"]]]
    annotations = [
        a | {"id": 1000 * a["id"] + c, "image_id": n}
        for a in truth["annotations"]
        for c, n in enumerate(numbers[a["image_id"]], 1)
    ]
    twins = [r | {"image_id": n} for r in results for n in numbers[r["image_id"]]]
    return truth | {"images": images, "annotations": annotations}, twins


def evaluated(folder: Path, truth: dict, results: list[dict]) -> Evaluation:
    folder.mkdir(exist_ok=True)
    paths = write(folder, truth, results)
    return evaluate(paths[0], Results(paths[1]), FAST)


def means(found: Evaluation, table: str) -> np.ndarray:
    """AP (C, T)."""
    return found.scores[table].precision[:, :, :, 0].mean(axis=1).T


@pytest.mark.parametrize("table", ["segm", "bbox"])
@pytest.mark.parametrize("seed", range(4))
def test_resampled_scores_equal_those_of_copied_photos(
    tmp_path: Path, seed: int, table: str
) -> None:
    truth, results = random_world(seed)
    found = evaluated(tmp_path / "once", truth, results)
    known = outcomes(found.scores[table], found.detections[table].table, found.truth)
    once = resampled_ap(known, np.ones(6, np.int64))
    np.testing.assert_allclose(once, means(found, table), atol=1e-12)
    weights = draw_photos(6, seed=seed, sample=0)
    assert weights.sum() == 6
    again = evaluated(tmp_path / "copied", *copied(truth, results, weights))
    np.testing.assert_allclose(resampled_ap(known, weights), means(again, table), atol=1e-12)


def test_values_are_the_evaluations_and_intervals_hold_them(tmp_path: Path) -> None:
    truth, results = random_world(5, photos=30)
    worse = [r | {"score": 1 - r["score"]} for r in results]
    a, b = evaluated(tmp_path / "a", truth, worse), evaluated(tmp_path / "b", truth, results)
    found = compare(a, b, samples=200, seed=1, level=0.9, threads=2)
    for one in found.scores:
        table, name = ("bbox", one.name[4:]) if one.name.startswith("box ") else ("segm", one.name)
        assert (one.a, one.b) == (a.metrics[table][name], b.metrics[table][name])
        assert one.difference == b.metrics[table][name] - a.metrics[table][name]
        assert None not in (one.low, one.high, one.better)
        assert float(one.low or 0) <= float(one.high or 0)
        assert 0 <= float(one.better or 0) <= 1
    assert {one.name for one in found.scores} >= {"AP", "APr", "APc", "APf", "box AP", "box APr"}
    assert [one.name for one in found.categories["segm"]] == ["c0", "c1", "c2"]
    assert compare(a, b, samples=200, seed=1, level=0.9, threads=1) == found
    assert compare(a, b, samples=200, seed=2, level=0.9, threads=1) != found


def test_no_difference_is_surely_none(tmp_path: Path) -> None:
    found = evaluated(tmp_path, *random_world(1))
    for one in compare(found, found, samples=20, seed=0, level=0.95, threads=1).scores:
        if one.difference is not None:
            assert one[3:] == (0, 0, 0, 0, 0.5)


def test_results_with_a_truth_and_their_mistakes(tmp_path: Path) -> None:
    truth, results = random_world(2)
    paths = write(tmp_path, truth, results)
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps(results[::2]))
    out = tmp_path / "differences.json"
    found = run(fewer, paths[1], truth=paths[0], samples=10, threads=1, out=out)
    written = json.loads(out.read_text())
    assert written["samples"] == 10 and len(written["categories"]["segm"]) == 3
    assert written["scores"][0]["difference"] == found.scores[0].difference
    with pytest.raises(UserError, match="not an evaluate stage"):
        run(fewer, paths[1])
    with pytest.raises(UserError, match="at least 2"):
        run(fewer, paths[1], truth=paths[0], samples=1)
    other = evaluated(tmp_path / "other", *random_world(3))
    with pytest.raises(UserError, match="different truths"):
        compare(evaluated(tmp_path / "mine", truth, results), other, samples=2, seed=0, level=0.9,
                threads=1)  # fmt: skip

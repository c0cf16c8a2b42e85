"""Any value of a ground truth instance or results file changed into an odd one: both engines
refuse it in the same words, or
give the same scores."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lvistk.config.evaluation import EvaluateSettings
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Results, evaluate
from tests.evaluation.worlds import annotation, both_result, image, mask_result, rle, square, world
from tests.reference.evaluation import evaluate_plainly

SETTINGS = EvaluateSettings(threads=1)
A, B = (2, 2, 10, 10), (5, 5, 10, 10)
STRIDE = 3
"""Each place takes every third value, the next place begins one later: a third of all cases."""
NAN, INFINITY = float("nan"), float("inf")
NUMBERS = (None, NAN, INFINITY, -INFINITY, -1, 0, 1.5, 1e30, 10**25, 2**63, 2**31)
OTHERS = ("x", "", True, [], {}, [1], [10**25], [1, 1])
SHAPES = ([[]], [["a"]], [[1, 2, 3, 4, 5, NAN]], [NAN] * 4, [1e300] * 4)
RLES = (
    {"counts": "a"},
    *(
        {"size": [40, 40], "counts": c}
        for c in ("é", "", "\x01", [], [-5, 1605], [1600.0], [2**70])
    ),
    *({"size": s, "counts": [0]} for s in ([-1, 40], [10**25, 40], [0, 0], [40])),
    {"size": [41, 40], "counts": [1640]},
)
DELETED = object()
ODD = (*NUMBERS, *OTHERS, *SHAPES, *RLES, DELETED)


def a_world() -> dict[str, Any]:
    masked = annotation(2, 2, 1, B, segmentation=rle(square(*B)))
    gt = world([image(1), image(2)], [annotation(1, 1, 1, A), masked])
    return gt | {"categories": [{**c, "image_count": 3} for c in gt["categories"]]}


MASKS_FIRST = [mask_result(1, 1, A, 0.5), both_result(2, 1, A, 0.25)]
BOXES_FIRST = [both_result(1, 1, A, 0.5), both_result(2, 1, A, 0.25)]


def places(value: Any, above: tuple = ()) -> Iterator[tuple]:
    """Paths to all values within."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (*above, key)
        yield from places(value[key], (*above, key))


def spoiled(whole: Any, path: tuple, value: Any) -> Any:
    whole = place = copy.deepcopy(whole)
    for key in path[:-1]:
        place = place[key]
    if value is DELETED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return whole


def outcome(work: Any) -> Any:
    try:
        return work().metrics
    except UserError as error:
        return str(error).split(" (in the piece")[0]  # of the file, that a section was


@pytest.mark.parametrize(
    "spoil", ["masks", "boxes", "images", "categories", "first-annotation", "second-annotation"]
)
def test_engines_agree_on_odd_values(tmp_path: Path, spoil: str) -> None:
    gt, results = a_world(), BOXES_FIRST if spoil == "boxes" else MASKS_FIRST
    beginnings = {
        "images": ("images", 0),
        "categories": ("categories", 1),
        "first-annotation": ("annotations", 0),
        "second-annotation": ("annotations", 1),
    }
    below = beginnings.get(spoil, ())
    of_gt = bool(below)
    base = gt if of_gt else results
    paths = [
        p for p in places(base) if p[: len(below)] == below and len(p) < 5 and "size" not in p[:-1]
    ]
    for k, path in enumerate(paths):
        for value in ODD[k % STRIDE :: STRIDE]:
            files = [gt, results]
            files[not of_gt] = spoiled(base, path, value)
            same_outcome(tmp_path, *files, case=(path, value))


def same_outcome(folder: Path, gt: Any, results: Any, *, case: Any) -> None:
    gt_path, results_path = folder / "gt.json", folder / "results.json"
    gt_path.write_text(json.dumps(gt))
    results_path.write_text(json.dumps(results))
    fast = outcome(lambda: evaluate(gt_path, Results(results_path), SETTINGS))
    plain = outcome(lambda: evaluate_plainly(gt_path, results_path, None, SETTINGS))
    assert fast == plain, case
    if isinstance(fast, str):
        assert "\n" not in fast and str(folder) in fast, case

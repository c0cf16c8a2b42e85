"""Small LVIS worlds written to files: ground truth, results, and the comparison with the official code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation.evaluate import Evaluation, Results, evaluate
from tests.reference.official_lvis import official

SIDE = 40
FAST = EvaluateSettings(boundary=False, fixed=False, threads=1)


def square(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def rle(polygons: list[list[float]], *, side: int = SIDE) -> dict[str, Any]:
    whole = coco_mask.merge(coco_mask.frPyObjects(polygons, side, side))
    return {"size": whole["size"], "counts": whole["counts"].decode()}


def image(id_: int, *, negative: tuple[int, ...] = (), open_: tuple[int, ...] = ()) -> dict:
    return {
        "id": id_,
        "height": SIDE,
        "width": SIDE,
        "neg_category_ids": list(negative),
        "not_exhaustive_category_ids": list(open_),
    }


def annotation(id_: int, image_id: int, category_id: int, box: tuple, **other: Any) -> dict:
    x, y, width, height = box
    return {
        "id": id_,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x, y, width, height],
        "area": width * height,
        "segmentation": square(*box),
        **other,
    }


def mask_result(image_id: int, category_id: int, box: tuple, score: float) -> dict:
    return {
        "image_id": image_id,
        "category_id": category_id,
        "score": score,
        "segmentation": rle(square(*box)),
    }


def box_result(image_id: int, category_id: int, box: tuple, score: float) -> dict:
    return {
        "image_id": image_id,
        "category_id": category_id,
        "score": score,
        "bbox": [float(value) for value in box],
    }


def both_result(image_id: int, category_id: int, box: tuple, score: float) -> dict:
    return {
        **mask_result(image_id, category_id, box, score),
        "bbox": [float(value) for value in box],
    }


def world(images: list[dict], annotations: list[dict], *, categories: int = 3) -> dict:
    return {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": c + 1, "name": f"c{c}", "frequency": "rcf"[c % 3]} for c in range(categories)
        ],
    }


def write(folder: Path, gt: dict, results: list[dict]) -> tuple[Path, Path]:
    gt_path, results_path = folder / "gt.json", folder / "results.json"
    gt_path.write_text(json.dumps(gt))
    results_path.write_text(json.dumps(results))
    return gt_path, results_path


def run(
    folder: Path, gt: dict, results: list[dict], settings: EvaluateSettings = FAST
) -> Evaluation:
    gt_path, results_path = write(folder, gt, results)
    return evaluate(gt_path, Results(results_path), settings)


def assert_official(
    gt: Path, results: Path, iou_type: str, found: Evaluation, *, results_given: Any = None
) -> None:
    """Arrays and scores equal the official ones bit for bit."""
    theirs = official(gt, results if results_given is None else results_given, iou_type)
    ours = found.scores[iou_type]
    precision = np.nan_to_num(ours.precision[..., :4], nan=-1.0)
    recall = np.nan_to_num(ours.recall[..., :4], nan=-1.0)
    np.testing.assert_array_equal(precision, theirs.eval["precision"])
    np.testing.assert_array_equal(recall, theirs.eval["recall"])
    for key, value in theirs.results.items():
        mine = found.metrics[iou_type][key]
        assert (mine is None and value == -1) or mine == value, key


def assert_same_as_official(folder: Path, gt: dict, results: list[dict]) -> Evaluation:
    """Run both on files; all tables that the results allow."""
    gt_path, results_path = write(folder, gt, results)
    found = evaluate(gt_path, Results(results_path), FAST)
    for iou_type in ("segm", "bbox"):
        if iou_type in found.scores:
            assert_official(gt_path, results_path, iou_type, found)
    return found

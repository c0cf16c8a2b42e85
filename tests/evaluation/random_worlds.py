"""Random small worlds: ties, duplicates, empty masks, open and negative lists, few images, few scores."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


def random_world(
    seed: int, *, images: int = 3, side: int = 24, categories: int = 3, boxes: str = "none"
) -> tuple[dict, list[dict]]:
    """Ground truth and results; ``boxes`` is ``none`` (masks), ``both`` or ``only``."""
    rng = np.random.default_rng(seed)
    gt: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for c in range(categories):
        frequency = "rcf"[rng.integers(3)]
        gt["categories"].append({"id": 3 * c + 2, "name": f"c{c}", "frequency": frequency})
    ids = [category["id"] for category in gt["categories"]]
    results: list[dict] = []
    shapes: list[dict] = []
    for number in rng.permutation(images).tolist():
        gt["images"].append(
            {
                "id": 7 * number + 1,
                "height": side,
                "width": side,
                "neg_category_ids": [c for c in ids if rng.random() < 0.4],
                "not_exhaustive_category_ids": [c for c in ids if rng.random() < 0.3],
            }
        )
        mine = [_shape(rng, side) for _ in range(rng.integers(0, 5))]
        for shape in mine:
            gt["annotations"].append(_annotation(rng, shape, 7 * number + 1, ids, gt))
        shapes = mine or shapes
        for _ in range(rng.integers(0, 9)):
            results.append(_result(rng, shapes, 7 * number + 1, [*ids, 99], side, boxes))
    for _ in range(rng.integers(0, 3) if results else 0):
        results.append(dict(results[rng.integers(len(results))]))
    order = rng.permutation(len(results)) if rng.random() < 0.5 else np.arange(len(results))
    results = [results[k] for k in order.tolist()]
    if not results:
        results.append(_result(rng, [_shape(rng, side)], 1, ids, side, boxes))
    return gt, results


def _shape(rng: np.random.Generator, side: int) -> dict:
    x, y = rng.integers(0, side - 3, 2).tolist()
    width, height = (int(rng.integers(2, side)) for _ in range(2))
    width, height = min(width, side - x), min(height, side - y)
    polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
    if rng.random() < 0.5:  # a triangle, or a thin diagonal
        polygon = [x, y, x + width, y, x, y + height]
    if rng.random() < 0.3:
        polygon = (np.array(polygon) + rng.uniform(-0.7, 0.7, len(polygon))).round(2).tolist()
    return {"polygon": [float(v) for v in polygon], "box": [x, y, width, height]}


def _annotation(
    rng: np.random.Generator, shape: dict, image_id: int, ids: list[int], gt: dict
) -> dict:
    area = float(shape["box"][2] * shape["box"][3])
    area = float(rng.choice([area, 0.0, 1024.0, 9216.0, area * 20], p=[0.7, 0.05, 0.1, 0.05, 0.1]))
    one = {
        "id": len(gt["annotations"]) + 1,
        "image_id": image_id,
        "category_id": int(rng.choice(ids)),
        "segmentation": [shape["polygon"]],
        "bbox": [float(v) for v in shape["box"]],
        "area": area,
    }
    if rng.random() < 0.1:
        one["ignore"] = 1
    return one


def _result(
    rng: np.random.Generator,
    shapes: list[dict],
    image_id: int,
    ids: list[int],
    side: int,
    boxes: str,
) -> dict:
    shape = (
        shapes[rng.integers(len(shapes))] if shapes and rng.random() < 0.7 else _shape(rng, side)
    )
    moved = np.array(shape["polygon"]).reshape(-1, 2) + rng.integers(-1, 2, 2) * (
        rng.random() < 0.6
    )
    box = np.array(shape["box"], float) + np.append(rng.integers(-1, 2, 2), [0, 0])
    if rng.random() < 0.05:
        box[2], moved = 0.0, moved + 10 * side
    one: dict[str, Any] = {
        "image_id": image_id,
        "category_id": int(rng.choice(ids)),
        "score": float(rng.choice([0.1, 0.25, 0.5, 0.5, rng.random()])),
    }
    if boxes != "none":
        one["bbox"] = box.tolist()
    if boxes != "only":
        whole = coco_mask.merge(coco_mask.frPyObjects([moved.ravel().tolist()], side, side))
        one["segmentation"] = {"size": whole["size"], "counts": whole["counts"].decode()}
    return one

"""Small annotation files made by hand, for the tests of this folder."""

import json
from pathlib import Path
from typing import Any

SQUARE = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]


def image(number: int, **fields: Any) -> dict[str, Any]:
    url = f"http://images.cocodataset.org/train2017/{number:012d}.jpg"
    base = {"id": number, "height": 60, "width": 80, "coco_url": url}
    return {**base, "neg_category_ids": [], "not_exhaustive_category_ids": [], **fields}


def annotation(number: int, image_id: int, category_id: int, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"id": number, "image_id": image_id, "category_id": category_id}
    segmentation = [list(part) for part in SQUARE]
    return {**base, "bbox": [10, 10, 10, 10], "area": 100.0, "segmentation": segmentation, **fields}


def category(number: int, name: str, frequency: str = "f") -> dict[str, Any]:
    return {"id": number, "name": name, "frequency": frequency}


def write(path: Path, images: list, annotations: list, categories: list | None = None) -> Path:
    if categories is None:
        categories = [category(5, "cup", "c"), category(2, "cat"), category(9, "zebra", "r")]
    data = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(data))
    return path

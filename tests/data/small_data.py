"""Small images with polygon and RLE annotations, written to disk, for tests of the data room."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvistk.config.train import AugmentSettings, SamplerSettings, SelfTrainSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.masks import rle

COLOURS = [(40, 60, 200), (60, 200, 60), (200, 80, 40), (40, 200, 200), (200, 60, 200)]
GREY = 110


def small_index(
    root: Path, *, count: int, seed: int = 0, with_rle: bool = True, empty: int = 0
) -> AnnotationIndex:
    """``count`` images below ``root``/train2017, each with one to four coloured quadrilaterals (every third
    one as RLE with ``with_rle``), the last ``empty`` images without; and their index."""
    rng = np.random.default_rng(seed)
    (root / "train2017").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for n in range(1, count + 1):
        height, width = (int(side) for side in rng.integers(50, 90, 2))
        pixels = np.full((height, width, 3), GREY, np.uint8)
        for i in range(0 if n > count - empty else int(rng.integers(1, 5))):
            record = _shape(rng, height, width, rle_mask=with_rle and i == 2, pixels=pixels)
            label = int(rng.integers(len(COLOURS)))
            record |= {"id": len(annotations) + 1, "image_id": n, "category_id": 10 + label}
            _paint(pixels, record.pop("outline"), COLOURS[label])
            annotations.append(record)
        cv2.imwrite(str(root / "train2017" / f"{n:012d}.jpg"), pixels)
        images.append(
            {
                "id": n,
                "height": height,
                "width": width,
                "coco_url": f"http://images.cocodataset.org/train2017/{n:012d}.jpg",
                "neg_category_ids": [int(c) for c in rng.choice([20, 21, 22], 2, replace=False)],
                "not_exhaustive_category_ids": [23] if n % 2 else [],
            }
        )
    categories = [
        {"id": c, "name": f"c{c}", "frequency": "f"} for c in (*range(10, 15), *range(20, 24))
    ]
    table = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(table))
    return AnnotationIndex.open([root / "train.json"], cache=root / "cache")


def training_data(index: AnnotationIndex, root: Path, **changes: Any) -> TrainingData:
    """Training data with small views, and whatever settings or sources ``changes`` name."""
    sources = {name: changes.pop(name) for name in ("pseudo", "missing") if name in changes}
    settings = {
        "augment": AugmentSettings(short_edges=(48, 64, 80), long_edge=120),
        "sampler": SamplerSettings(repeat_images=4),
        "selftrain": SelfTrainSettings(),
        **changes,
    }
    return TrainingData(index, root, settings=DataSettings(**settings), **sources)


def _shape(
    rng: np.random.Generator, height: int, width: int, *, rle_mask: bool, pixels: np.ndarray
) -> dict[str, Any]:
    centre = rng.uniform(0.25, 0.75, 2) * (width, height)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 4)) + np.array([0.0, 0.2, 0.4, 0.6])
    radius = rng.uniform(8, 20, 4)
    points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    points = points.clip(0, (width, height)).round(2)
    low, high = points.min(axis=0), points.max(axis=0)
    counts = rle.from_polygons([points], (height, width))
    area = float(rle.areas([counts], (height, width))[0])
    segmentation: Any = [points.reshape(-1).tolist()]
    if rle_mask:
        segmentation = {"size": [height, width], "counts": counts.decode()}
    bbox = [*low.tolist(), *(high - low).tolist()]
    return {"bbox": bbox, "area": area, "segmentation": segmentation, "outline": points}


def _paint(pixels: np.ndarray, outline: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(pixels, [np.round(outline - 0.5).astype(np.int32)], colour)

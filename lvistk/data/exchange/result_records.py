"""Detections as records of LVIS results files."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lvistk.data.store.detection_store import DetectionStore
from lvistk.structures.detections import Detections


def mask_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """``mask_records_of`` every image of a store."""
    for image in store:
        yield from mask_records_of(image, store.category_ids)


def box_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """``box_records_of`` every image of a store."""
    for image in store:
        yield from box_records_of(image, store.category_ids)


def mask_records_of(image: Detections, category_ids: np.ndarray) -> Iterator[dict[str, Any]]:
    """Masks ranked by mask score, or by box score without mask scoring; what the LVIS server takes.

    category_ids: (C,) in label order.

    No ``bbox``: with one, official code would take box areas for mask areas. An image without masks has none.
    """
    if image.masks is None:
        return
    scores = image.scores if image.mask_scores is None else image.mask_scores
    order = np.argsort(-scores, kind="stable")
    size = [int(image.size[0]), int(image.size[1])]
    ids = category_ids[image.labels]
    for k in order.tolist():
        yield {
            "image_id": image.image_id,
            "category_id": int(ids[k]),
            "segmentation": {"size": size, "counts": image.masks[k].decode("ascii")},
            "score": float(scores[k]),
        }


def box_records_of(image: Detections, category_ids: np.ndarray) -> Iterator[dict[str, Any]]:
    """Boxes, xywh in image pixels, ranked by box score; ``category_ids`` as above."""
    order = np.argsort(-image.scores, kind="stable")
    corners = image.boxes.astype(np.float64)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
    ids = category_ids[image.labels]
    for k in order.tolist():
        yield {
            "image_id": image.image_id,
            "category_id": int(ids[k]),
            "bbox": xywh[k],
            "score": float(image.scores[k]),
        }

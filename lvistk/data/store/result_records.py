"""A detection store as records of LVIS results files."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lvistk.data.store.detection_store import DetectionStore


def mask_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """Masks ranked by mask score, or by box score in a store without; what the LVIS server takes.

    No ``bbox``: with one, official code would take box areas for mask areas.
    """
    for photo in store:
        if photo.masks is None:
            continue
        scores = photo.scores if photo.mask_scores is None else photo.mask_scores
        order = np.argsort(-scores, kind="stable")
        size = [int(photo.size[0]), int(photo.size[1])]
        ids = store.category_ids[photo.labels]
        for k in order.tolist():
            yield {
                "image_id": photo.image_id,
                "category_id": int(ids[k]),
                "segmentation": {"size": size, "counts": photo.masks[k].decode("ascii")},
                "score": float(scores[k]),
            }


def box_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """Boxes, xywh in photo pixels, ranked by box score."""
    for photo in store:
        order = np.argsort(-photo.scores, kind="stable")
        corners = photo.boxes.astype(np.float64)
        xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
        ids = store.category_ids[photo.labels]
        for k in order.tolist():
            yield {
                "image_id": photo.image_id,
                "category_id": int(ids[k]),
                "bbox": xywh[k],
                "score": float(photo.scores[k]),
            }

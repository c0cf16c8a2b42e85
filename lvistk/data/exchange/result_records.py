"""A detection store as records of LVIS results files."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lvistk.data.store.detection_store import DetectionStore


def mask_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """Masks ranked by mask score, or by box score in a store without; what the LVIS server takes.

    No ``bbox``: with one, official code would take box areas for mask areas.
    """
    for image in store:
        if image.masks is None:
            continue
        scores = image.scores if image.mask_scores is None else image.mask_scores
        order = np.argsort(-scores, kind="stable")
        size = [int(image.size[0]), int(image.size[1])]
        ids = store.category_ids[image.labels]
        for k in order.tolist():
            yield {
                "image_id": image.image_id,
                "category_id": int(ids[k]),
                "segmentation": {"size": size, "counts": image.masks[k].decode("ascii")},
                "score": float(scores[k]),
            }


def box_records(store: DetectionStore) -> Iterator[dict[str, Any]]:
    """Boxes, xywh in image pixels, ranked by box score."""
    for image in store:
        order = np.argsort(-image.scores, kind="stable")
        corners = image.boxes.astype(np.float64)
        xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
        ids = store.category_ids[image.labels]
        for k in order.tolist():
            yield {
                "image_id": image.image_id,
                "category_id": int(ids[k]),
                "bbox": xywh[k],
                "score": float(image.scores[k]),
            }

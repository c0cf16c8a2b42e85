"""LVIS v1 records of generated images: what annotators noted, and beside it the full ground truth.

Federated as LVIS: an image lists categories verified absent (`neg_category_ids`), and those of which
not all instances are annotated (`not_exhaustive_category_ids`). Of all others nothing is known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvistk.data.synthetic.catalogue import Kind
from lvistk.data.synthetic.outline import signed_area
from lvistk.data.synthetic.scene import Drawn

IDS_PER_IMAGE = 1000  # annotation id = image id * 1000 + number in the image
HOST = "http://lvistk.invalid"  # the last two parts of an address are folder and file
INFO = {
    "description": "Drawn by `lvistk generate`",
    "url": "",
    "version": "1.0",
    "year": 2026,
    "contributor": "lvistk",
    "date_created": "2026-01-01",
}
LICENSES = [
    {"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
]

Record = dict[str, Any]


@dataclass(frozen=True)
class ImageRecords:
    """One image's rows: `image` and `annotations` as annotated, `true_*` with everything."""

    image: Record
    annotations: list[Record]
    true_image: Record
    true_annotations: list[Record]


def category_ids(kinds: tuple[Kind, ...]) -> list[int]:
    """The 1-based id of each rank: alphabetical, as in LVIS, so that ids tell nothing of counts."""
    order = sorted(range(len(kinds)), key=lambda rank: kinds[rank].name)
    ids = {rank: number for number, rank in enumerate(order, 1)}
    return [ids[rank] for rank in range(len(kinds))]


def image_records(
    drawn: list[Drawn],
    ids: list[int],
    *,
    image: Record,
    negative_share: float,
    rng: np.random.Generator,
) -> ImageRecords:
    """The rows of an image; `image` holds its id, address and size, `ids` the id of each rank.

    `negative_share` of the absent categories is verified absent. In the full ground truth all of them
    are, nothing is marked incomplete, and each annotation says whether it was `annotated`, and if
    not, for which `reason`.
    """
    annotated = {item.wanted.rank for item in drawn if not item.wanted.reason}
    gt, incomplete = [], set()
    for number, item in enumerate(drawn, 1):
        rank, reason = item.wanted.rank, item.wanted.reason
        if reason and rank not in annotated:
            reason = "category"  # whatever was planned: nothing of it got annotated
        if reason == "not_exhaustive":
            incomplete.add(ids[rank])
        row = _annotation(item, image["id"] * IDS_PER_IMAGE + number, image["id"], ids[rank])
        gt.append({**row, "annotated": not reason, "reason": reason})
    present = {row["category_id"] for row in gt}
    absent = [category for category in sorted(ids) if category not in present]
    verified = [category for category in absent if rng.random() < negative_share]
    rows = [_without_gt(row) for row in gt if row["annotated"]]
    noted = {
        **image,
        "neg_category_ids": verified,
        "not_exhaustive_category_ids": sorted(incomplete),
    }
    true = {**image, "neg_category_ids": absent, "not_exhaustive_category_ids": []}
    return ImageRecords(noted, rows, true, gt)


def image_record(image_id: int, address: str, *, height: int, width: int) -> Record:
    """The fields of an image that no annotator decides."""
    return {
        "id": image_id,
        "coco_url": f"{HOST}/{address}",
        "flickr_url": f"{HOST}/flickr/{image_id}",
        "height": height,
        "width": width,
        "license": 1,
        "date_captured": "2026-01-01 00:00:00",
    }


def category_records(kinds: tuple[Kind, ...], train: list[Record]) -> list[Record]:
    """The categories by id, their counts and frequency group taken from the train annotations.

    A category without any train image counts as rare, with counts of 0.
    """
    instances = Counter(row["category_id"] for row in train)
    images = Counter(category for _, category in {(r["image_id"], r["category_id"]) for r in train})
    rows = []
    for kind, category in zip(kinds, category_ids(kinds), strict=True):
        count = images[category]
        rows.append(
            {
                "id": category,
                "name": kind.name,
                "synset": f"{kind.name}.n.01",
                "synonyms": [kind.name],
                "def": kind.definition,
                "frequency": "r" if count <= 10 else "c" if count <= 100 else "f",
                "image_count": count,
                "instance_count": instances[category],
            }
        )
    return sorted(rows, key=lambda row: row["id"])


def _annotation(item: Drawn, annotation_id: int, image_id: int, category_id: int) -> Record:
    corners = np.concatenate(item.polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [np.round(points, 2).ravel().tolist() for points in item.polygons],
        "area": round(sum(abs(signed_area(points)) for points in item.polygons), 2),
        "bbox": np.round(np.concatenate([low, high - low]), 2).tolist(),
    }


def _without_gt(row: Record) -> Record:
    return {key: value for key, value in row.items() if key not in ("annotated", "reason")}

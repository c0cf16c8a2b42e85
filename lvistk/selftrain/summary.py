"""What a detection store holds of each category: how many, how sure, in how many images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lvistk import console
from lvistk.data.store.detection_store import DetectionStore
from lvistk.structures.categories import Categories

SHOWN = 10
"""Categories that the table has, those of the most detections."""
GROUPS = {"r": "rare", "c": "common", "f": "frequent", "": "no group"}


def summarise_store(store: DetectionStore, categories: Categories) -> list[dict[str, Any]]:
    """A row per category: id, name, frequency, detections, mean_score, images, image_share.

    image_share: of all images of the store. mean_score is None without detections. One shard at a time is
    read.
    """
    size = len(categories)
    count, scores, images = np.zeros(size, np.int64), np.zeros(size), np.zeros(size, np.int64)
    for shard in store.shards:
        columns = shard.columns()
        label = columns["label"]
        count += np.bincount(label, minlength=size)
        scores += np.bincount(label, weights=columns["score"], minlength=size)
        image = np.repeat(np.arange(len(shard.image_ids)), np.diff(columns["images/row"]))
        pairs = np.unique(image * size + label)
        images += np.bincount(pairs % max(size, 1), minlength=size)
    return [
        {
            "id": int(categories.ids[c]),
            "name": categories.names[c],
            "frequency": str(categories.frequency[c]),
            "detections": int(count[c]),
            "mean_score": round(float(scores[c] / count[c]), 4) if count[c] else None,
            "images": int(images[c]),
            "image_share": round(float(images[c] / len(store)), 6) if len(store) else None,
        }
        for c in range(size)
    ]


def show_summary(rows: Sequence[dict[str, Any]], *, title: str) -> None:
    """A table of the frequency groups, and one of the categories of the most detections."""
    groups = []
    for letter, name in GROUPS.items():
        own = [row for row in rows if row["frequency"] == letter]
        if own:
            filled = [row for row in own if row["detections"]]
            groups.append([name, len(own), len(filled), *_totals(filled)])
    heads = ("group", "categories", "with detections", "detections", "mean score")
    console.table(title, heads, groups)
    most = sorted(rows, key=lambda row: -row["detections"])[:SHOWN]
    lines = [
        [row["name"], row["frequency"], row["detections"], row["mean_score"], row["images"]]
        for row in most
        if row["detections"]
    ]
    console.table("", ("category", "group", "detections", "mean score", "images"), lines, left=2)


def _totals(rows: Sequence[dict[str, Any]]) -> tuple[int, float | None]:
    """Detections of several categories, and their mean score."""
    count = sum(row["detections"] for row in rows)
    total = sum(row["detections"] * row["mean_score"] for row in rows)
    return count, total / count if count else None

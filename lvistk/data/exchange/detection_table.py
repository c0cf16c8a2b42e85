"""A detection store as a table, a line per detection."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lvistk.data.store.detection_store import DetectionStore
from lvistk.masks import rle
from lvistk.structures.categories import Categories
from lvistk.whole_file import whole_file

COLUMNS = ("image", "category", "category_id", "score", "x0", "y0", "x1", "y1", "mask_area")


def write_table(path: Path, store: DetectionStore, categories: Categories) -> None:
    """CSV: image's name or id, category, score, corners and mask area in pixels; empty without a mask."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(store, categories))


def _rows(store: DetectionStore, categories: Categories) -> Iterator[list[object]]:
    for row, image in enumerate(store):
        areas = [""] * len(image)
        if image.masks is not None:
            areas = rle.areas(image.masks, image.size).tolist()
        corners = np.round(image.boxes.astype(float), 2).tolist()
        name = store.name(row) or image.image_id
        for k, label in enumerate(image.labels.tolist()):
            score = round(float(image.scores[k]), 4)
            category = (categories.names[label], int(categories.ids[label]))
            yield [name, *category, score, *corners[k], areas[k]]

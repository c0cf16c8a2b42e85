"""Pictures of an annotation file: the long tail, area ratios, a contact sheet with masks."""

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from lvistk.data.images.decode import ImageError, read_image
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.inspect.inspection import Inspection
from lvistk.drawing import contact_sheet, draw_instances, write_picture
from lvistk.errors import UserError
from lvistk.whole_file import whole_file

COLORS = {"r": "#c44e52", "c": "#dd8452", "f": "#4c72b0", "": "#8c8c8c"}
GROUP_NAMES = {"r": "rare", "c": "common", "f": "frequent", "": "no group"}
CELL = (400, 300)
"""Width and height of an image on the contact sheet, in pixels."""
SHEET_COLUMNS, SHEET_IMAGES = 4, 16
CAPTIONS = 12
"""Instances of an image that get a caption, the largest first; more would hide it."""


def draw_long_tail(report: Inspection, path: Path) -> None:
    """Instances of each category, most first, coloured by the file's frequency group."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(report.categories, key=lambda c: -c.instances)
    present = [c for c in ordered if c.instances]
    for group, color in COLORS.items():
        ranks = [rank for rank, c in enumerate(present, 1) if c.frequency == group]
        counts = [present[rank - 1].instances for rank in ranks]
        if ranks:
            label = f"{GROUP_NAMES[group]} ({len(ranks)} categories, {sum(counts)} instances)"
            axes.bar(ranks, counts, width=1.0, color=color, label=label)
    if present:
        axes.set_yscale("log")
        axes.set_ylim(0.7)
        axes.legend(frameon=False)
    absent = len(ordered) - len(present)
    axes.set(xlabel="category, most instances first", ylabel="instances")
    axes.set_title(f"{len(present)} categories with instances, {absent} without", loc="left")
    _finish(figure, path)


def draw_area_ratios(report: Inspection, path: Path) -> None:
    """Histogram of mask area over box area, and the mean of each category beside it."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = len(report.area_ratio_histogram)
    edges = np.linspace(0, 1, bins + 1)
    left.bar(edges[:-1], report.area_ratio_histogram, width=1 / bins, align="edge", color="#4c72b0")
    left.set(xlabel="mask area / box area", ylabel="instances", xlim=(0, 1))
    mean = report.area_ratio_mean
    left.set_title("all instances" + (f", mean {mean:.2f}" if mean is not None else ""), loc="left")
    filled = [c for c in report.categories if c.area_ratio is not None]
    for group, color in COLORS.items():
        chosen = [c for c in filled if c.frequency == group]
        if chosen:
            right.scatter(
                [c.area_ratio for c in chosen],
                [c.instances for c in chosen],
                s=9,
                color=color,
                label=GROUP_NAMES[group],
            )
    if filled:
        right.set_yscale("log")
        right.legend(frameon=False, loc="upper left")
    right.set(xlabel="mean area ratio of a category", ylabel="instances", xlim=(0, 1))
    right.set_title("categories", loc="left")
    _finish(figure, path)


def draw_contact_sheet(index: AnnotationIndex, root: Path, path: Path) -> int:
    """Images with their masks, spread evenly over those with annotations; returns how many.

    Images that cannot be read are left out; without any, nothing is written.
    """
    filled = np.flatnonzero(np.diff(index.row))
    indices = np.unique(np.linspace(0, len(filled) - 1, SHEET_IMAGES).astype(int))
    chosen = filled[indices] if len(filled) else filled
    cells = [cell for i in chosen.tolist() if (cell := _cell(index, i, root)) is not None]
    if not cells:
        return 0
    write_picture(path, contact_sheet(cells, size=CELL, columns=SHEET_COLUMNS))
    return len(cells)


def _cell(index: AnnotationIndex, i: int, root: Path) -> np.ndarray | None:
    size = index.size(i)
    try:
        image = read_image(index.image_path(i, root), size=size)
    except (ImageError, UserError):
        return None
    annotations = index.annotations(i)
    order = np.argsort(annotations.areas, kind="stable")  # the smallest lies on top
    masks = index.masks(i)
    captioned = set(order[-CAPTIONS:].tolist())
    return draw_instances(
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
        boxes=annotations.boxes[order],
        labels=annotations.labels[order],
        masks=[masks[g] for g in order],
        captions=[
            index.categories.names[annotations.labels[g]] if g in captioned else "" for g in order
        ],
    )


def _finish(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)

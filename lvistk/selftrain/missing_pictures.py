"""Pictures about missing annotations: images with what was taken for missing, and curves of the rules."""

from pathlib import Path

import cv2
import numpy as np

from lvistk.config.missing import MissingRule
from lvistk.data.images.decode import ImageError, read_image
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore
from lvistk.drawing import captions, contact_sheet, draw_instances, side_by_side, write_picture
from lvistk.errors import UserError
from lvistk.selftrain.hidden import OVERLAPS, HiddenMatches, curve, variants
from lvistk.whole_file import whole_file

CELL = (620, 250)
"""Width and height of an image, drawn twice, on the sheet; pixels."""
COLUMNS, IMAGES = 2, 12
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#64b5cd")


def draw_missing_sheet(
    index: AnnotationIndex, missing: DetectionStore, root: Path, path: Path
) -> int:
    """Images beside each other: left what is annotated, right what was taken for missing.

    Images spread evenly over those with missing annotations; those that cannot be read are left out. Returns
    how many are drawn; without any, nothing is written.
    """
    filled = np.concatenate([np.zeros(0, np.int64), *_filled_rows(missing)])
    spread = np.unique(np.linspace(0, max(len(filled) - 1, 0), IMAGES).astype(int))
    chosen = filled[spread] if len(filled) else filled
    cells = [_cell(index, missing, int(row), root) for row in chosen]
    drawn = [cell for cell in cells if cell is not None]
    if drawn:
        write_picture(path, contact_sheet(drawn, size=CELL, columns=COLUMNS))
    return len(drawn)


def _filled_rows(store: DetectionStore) -> list[np.ndarray]:
    """Rows of the images that have a detection, shard by shard."""
    rows, first = [], 0
    for shard in store.shards:
        rows.append(first + np.flatnonzero(np.diff(shard.columns()["images/row"])))
        first += len(shard.image_ids)
    return rows


def _cell(
    index: AnnotationIndex, missing: DetectionStore, row: int, root: Path
) -> np.ndarray | None:
    detections = missing[row]
    i = index.index_of(detections.image_id)
    try:
        pixels = read_image(index.image_path(i, root), size=index.size(i))
    except (ImageError, UserError):
        return None
    image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    annotations, names = index.annotations(i), index.categories.names
    annotated = draw_instances(
        image,
        boxes=annotations.boxes,
        labels=annotations.labels,
        masks=index.masks(i),
        captions=[names[label] for label in annotations.labels.tolist()],
    )
    taken = draw_instances(
        image,
        boxes=detections.boxes,
        labels=detections.labels,
        masks=detections.masks,
        captions=captions(detections.labels, detections.scores, names=names),
    )
    return side_by_side([annotated, taken], titles=("annotated", "taken for missing"))


def draw_curves(matches: HiddenMatches, rule: MissingRule, path: Path) -> None:
    """Precision over recall of every rule and overlap as the score falls; the run's settings are marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    chosen, colours = matches.measure_rule(rule), dict(zip(OVERLAPS, COLOURS, strict=True))
    for axes, region in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for overlap, one in variants(rule):
            recall, precision = curve(matches, one, region=region)
            style = ":" if one.rule == "paper" else "-"
            label = f"{one.rule}, {overlap}"
            axes.plot(recall, precision, style, color=colours[overlap], label=label)
        prefix = "region_" if region else ""
        point = chosen[f"{prefix}recall"], chosen[f"{prefix}precision"]
        if None not in point:
            axes.plot(*point, "k*", markersize=11, label="settings of this run")
        axes.axhline(0.8, color="0.8", zorder=0)
        axes.set(xlabel="recall of hidden instances", ylim=(0, 1.02), xlim=(0, None))
        title = "any category" if region else "same category"
        axes.set_title(f"box IoU .5, {title}", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("precision")
    figure.axes[1].legend(frameon=False, fontsize="x-small")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)

"""Sections of pictures: detections beside the ground truth, and the result of filter-missing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lvistk.data.exchange.json_detections import detections_of_index
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.json_input.image_names import NamedImages
from lvistk.report import pictures
from lvistk.report.charts import Axis, Series, bar_chart
from lvistk.report.examine import Examined
from lvistk.report.gather import StageRecord
from lvistk.report.markup import Section, escape, figure, grid, lead, note, table
from lvistk.structures.detections import Detections

THIN = 0.25
"""Mask area over box area below which an instance counts as thin: the lowest range of the scores."""
SMALLEST = 64
"""Least mask area in pixels of a thin instance that an image is chosen for; smaller ones can't be seen."""
SCORE = 0.3
"""Detections that score less are not drawn."""
NAMED = 20
"""Most categories in the list of missing annotations."""


def example_section(
    examined: Sequence[Examined],
    stages: Sequence[StageRecord],
    *,
    images: Path | None,
    count: int,
    cache: Path,
) -> Section | None:
    """Images of the last evaluation, its detections beside the ground truth.

    images: folder of the images; None: as the stages name it
    count: most images shown
    cache: folder of annotation indices
    """
    if not examined or count == 0:
        return None
    last = examined[-1]
    root = images or _image_folder(stages, last.results.main)
    if root is None:
        text = "The folder of the images is not known; give it with --images."
        return Section("images", "Images", note(text))
    index = AnnotationIndex.open([last.gt_path], cache=cache, defects="skip")
    figures = []
    chosen = _thin_first(index)
    for first in range(0, len(chosen), count):
        part = chosen[first : first + count]
        figures += _pairs(last, index, part, root)[: count - len(figures)]
        if len(figures) >= count or first >= 4 * count:
            break
    if not figures:
        return Section("images", "Images", note(f"None of the images can be read from {root}."))
    text = (
        f"{last.label}: what is annotated, and what was detected with a score of {SCORE:.0%} or "
        f"more. Images with the most thin instances (mask below {THIN:.0%} of its box) come first. "
        "LVIS does not annotate everything: a detection without a counterpart may be right."
    )
    body = lead(text) + f'<div class="examples">{"".join(figures)}</div>'
    return Section("images", "Images", body)


def missing_section(
    stages: Sequence[StageRecord], *, images: Path | None, count: int, cache: Path
) -> Section | None:
    """Counts and pictures of the missing annotations of the last ``filter-missing`` stage.

    images, count, cache: as in ``example_section``
    """
    with_missing = [stage for stage in stages if (stage.path / "missing.h5").is_file()]
    if not with_missing:
        return None
    stage = with_missing[-1]
    store = DetectionStore.open(stage.path / "missing.h5")
    summary = stage.manifest.get("summary", {})
    text = (
        f"{stage.label} kept {summary.get('missing', 0)} detections that no annotation explains in "
        f"{summary.get('photos', len(store))} training images, out of "
        f"{summary.get('confident', 0)} confident detections. In training, proposals on them are "
        "ignored instead of counting as background."
    )
    train = stage.inputs("train")
    if not train:
        return Section("missing", "Missing annotations", lead(text))
    index = AnnotationIndex.open(train, cache=cache, defects="skip")
    parts = [_missing_counts(store, index)]
    root = images or _image_folder(stages, Path(), name="train_images")
    figures = _missing_pictures(store, index, root, count) if root is not None else []
    if figures:
        parts.append(f'<div class="examples">{"".join(figures)}</div>')
    return Section("missing", "Missing annotations", lead(text) + "".join(parts))


def _image_folder(
    stages: Sequence[StageRecord], detections: Path, *, name: str = "val_images"
) -> Path | None:
    """The image folder that the stage which made ``detections`` was given, else the last stage with one.

    name: of the input
    """
    by_folder = [s for s in stages if s.path.resolve() in (*_parents(detections),)]
    for stage in (*by_folder, *reversed(stages)):
        for path in stage.inputs(name):
            return path
    return None


def _parents(path: Path) -> tuple[Path, ...]:
    resolved = path.resolve()
    return (resolved, resolved.parent)


def _thin_first(index: AnnotationIndex) -> list[int]:
    """Numbers of the annotated images, those with most thin instances first, then most annotations."""
    thin = (index.area_ratios() < THIN) & (np.asarray(index.areas) >= SMALLEST)
    counts = np.diff(np.concatenate([[0], np.cumsum(thin)])[index.row])
    annotations = np.diff(index.row)
    order = np.lexsort([-annotations, -counts])
    return order[annotations[order] > 0].tolist()


def _pairs(last: Examined, index: AnnotationIndex, chosen: Sequence[int], root: Path) -> list[str]:
    """Ground truth and detections side by side, of each of the ``chosen`` images that can be read."""
    sizes = {int(index.image_ids[i]): index.size(i) for i in chosen}
    names = ((int(index.image_ids[i]), index.file_name(i)) for i in range(len(index)))
    detections = pictures.detections_of(
        last.results.main,
        sizes,
        category_ids=index.categories.ids,
        images=NamedImages(names, path=last.results.main),
    )
    figures = []
    for i, gt in zip(chosen, detections_of_index(index, chosen), strict=True):
        pixels = _image(index, i, root)
        if pixels is None:
            continue
        shown = detections.get(gt.image_id) or Detections.empty(gt.image_id, gt.size)
        shown = shown.select(shown.scores >= SCORE)
        names = index.categories.names
        figures.append(
            '<figure><div class="pair">'
            f"<div>{pictures.drawn(pixels, gt, names, scores=False)}<span>annotated</span></div>"
            f"<div>{pictures.drawn(pixels, shown, names, scores=True)}<span>detected</span></div></div>"
            f"<figcaption>{escape(index.file_name(i))}: {len(gt)} annotated, {len(shown)} "
            "detected</figcaption></figure>"
        )
    return figures


def _image(index: AnnotationIndex, i: int, root: Path) -> np.ndarray | None:
    """Image ``i`` of the index; None if the file is missing or has another size than annotated."""
    try:
        pixels = pictures.read_image(index.image_path(i, root))
    except UserError:
        return None
    return pixels if pixels is not None and pixels.shape[:2] == index.size(i) else None


def _missing_counts(store: DetectionStore, index: AnnotationIndex) -> str:
    """Images by their number of missing annotations as bars, and a table of categories."""
    per_image = np.array([len(image) for image in store])
    labels = np.concatenate([np.zeros(0, np.int32), *[image.labels for image in store]])
    counts = np.bincount(labels, minlength=len(index.categories))
    names = ("0", "1", "2", "3", "4", "5+")
    edges = np.bincount(np.minimum(per_image, 5), minlength=6)
    bars = Series("images", range(6), edges.tolist(), 0)
    chart = figure(
        "Missing annotations in an image",
        bar_chart(names, [bars], y=Axis("", 0, max(int(edges.max()), 1))),
        note="number of images with so many",
    )
    order = np.argsort(-counts, kind="stable")[:NAMED]
    rows = [
        [
            escape(index.categories.names[c].replace("_", " ")),
            str(counts[c]),
            str(index.categories.instance_count[c]),
        ]
        for c in order.tolist()
        if counts[c]
    ]
    listed = table(["category", "missing", "annotated"], rows) if rows else ""
    return grid([chart, listed])


def _missing_pictures(
    store: DetectionStore, index: AnnotationIndex, root: Path, count: int
) -> list[str]:
    """The images with the most missing annotations, drawn beside their annotations."""
    per_image = np.array([len(image) for image in store])
    figures: list[str] = []
    for row in np.argsort(-per_image, kind="stable")[: 4 * count].tolist():
        if len(figures) >= count or per_image[row] == 0:
            break
        i = index.index_of(int(store.image_ids[row]))
        pixels = _image(index, i, root)
        if pixels is None:
            continue
        gt = next(detections_of_index(index, [i]))
        names = index.categories.names
        figures.append(
            '<figure><div class="pair">'
            f"<div>{pictures.drawn(pixels, gt, names, scores=False)}<span>annotated</span></div>"
            f"<div>{pictures.drawn(pixels, store[row], names, scores=True)}<span>missing</span></div>"
            f"</div><figcaption>{escape(index.file_name(i))}: {len(gt)} annotated, "
            f"{int(per_image[row])} missing</figcaption></figure>"
        )
    return figures

"""What ``predict`` writes of its detection store: pictures, and an annotation file."""

from pathlib import Path

import numpy as np

from lvistk import console
from lvistk.artifacts import StageFolder
from lvistk.data.exchange.annotation_records import (
    annotation_records,
    category_table,
    image_records,
)
from lvistk.data.images.decode import ImageError, read_image
from lvistk.data.index.lvis_write import write_annotations
from lvistk.data.store.detection_store import DetectionStore
from lvistk.distributed import rank, world_size
from lvistk.drawing import captions, draw_instances, write_picture
from lvistk.inference.shards import ImageList
from lvistk.structures.categories import Categories

FOLDER = "pictures"
KEPT_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Images of other kinds are drawn into a .jpg beside their own suffix."""


def draw_pictures(
    stage: StageFolder,
    store: DetectionStore,
    images: ImageList,
    *,
    categories: Categories,
    most: int,
    min_score: float,
) -> None:
    """Draw the first ``most`` images of the store into ``pictures``, under their own names.

    Each rank draws its share.
    min_score: detections that score less are not drawn. A picture that is there is complete and stays.
    """
    order = np.argsort(images.ids)
    rows = range(rank(), min(most, len(store)), world_size())
    if not len(rows):
        return
    with console.progress("pictures", len(rows)) as line:
        for row in rows:
            k = order[np.searchsorted(images.ids, store.image_ids[row], sorter=order)]
            path = stage.file(FOLDER) / picture_name(store.name(row), int(store.image_ids[row]))
            if not path.is_file():
                _draw(path, store, row, images, int(k), categories, min_score)
            line.advance()
    if rank() == 0 and most < len(store):
        console.say(f"the first {most} of {len(store)} images are drawn; --pictures draws more")


def picture_name(name: str, image_id: int) -> str:
    """Where the picture of an image lies below ``pictures``; images without a name go by their id."""
    if not name:
        return f"{image_id:012d}.jpg"
    return name if name.lower().endswith(KEPT_SUFFIXES) else f"{name}.jpg"


def _draw(
    path: Path,
    store: DetectionStore,
    row: int,
    images: ImageList,
    k: int,
    categories: Categories,
    min_score: float,
) -> None:
    image = images.image(k)
    detections = store[row]
    kept = detections.select(detections.scores >= min_score)
    try:
        pixels = read_image(image.path, size=detections.size, rotation=image.rotation)
    except ImageError as error:  # it could be read before
        console.warn(f"not drawn: {error}")
        return
    picture = draw_instances(
        np.ascontiguousarray(pixels[:, :, ::-1]),
        boxes=kept.boxes,
        labels=kept.labels,
        masks=kept.masks,
        captions=captions(kept.labels, kept.scores, names=categories.names),
    )
    write_picture(path, picture)


def write_predictions(
    path: Path, store: DetectionStore, categories: Categories, *, annotations: Path | None
) -> None:
    """The store as an annotation file whose annotations have a ``score``.

    annotations: the file that lists the images, where the store does not name them.
    """
    write_annotations(
        path,
        images=image_records(store, annotations),
        annotations=annotation_records(store, None, min_score=0.0),
        categories=category_table(categories),
        info="detections",
    )

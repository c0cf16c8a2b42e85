"""YOLO segmentation labels as records.

A text file per image, a line per instance: ``class x1 y1 x2 y2 ...`` with coordinates as shares of the
image's width and height. Labels lie beside the images, or in ``labels`` where the images lie in ``images``.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from lvistk.data.convert.plain_text import doubtful_names, read_text
from lvistk.data.convert.records import Records, polygon_annotation
from lvistk.data.convert.yolo_names import read_names
from lvistk.data.images.decode import read_image
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord
from lvistk.errors import UserError
from lvistk.folders import files_below

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
OTHER_SUFFIXES = {".heic", ".heif", ".avif", ".dng", ".gif", ".jp2", ".mpo", ".pfm", ".ppm"}
"""Images that YOLO's tools may read and this one does not."""


def read_yolo(images: Path, names: Path) -> Records:
    """The images below ``images`` with their labels; an image without a label file has no instance.

    names: ``data.yaml`` with ``names``, or a text file of one name per line. Class k becomes category k + 1;
        images are numbered by path

    Raises ``UserError`` naming file and line, or where labels were looked for when no image has any.
    """
    class_names = read_names(names)
    categories = [CategoryRecord(k + 1, name) for k, name in class_names.items()]
    records = Records([], [], categories)
    records.changes.notes += doubtful_names(class_names.values())
    suffixes = {path: path.suffix.lower() for path in files_below(images)}
    files = [path for path, suffix in suffixes.items() if suffix in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{images}: no images in this folder; give the folder of the images")
    for path, suffix in suffixes.items():
        if suffix in OTHER_SUFFIXES:
            records.changes.leave_out(f"images of a format that is not read ({suffix})", path)
    labelled = 0
    for number, path in enumerate(files, 1):
        height, width = read_image(path).shape[:2]
        image = ImageRecord(number, height, width, file_name=path.relative_to(images).as_posix())
        records.images.append(image)
        records.files[number] = path
        labels = next((file for file in _label_files(path, images) if file.is_file()), None)
        if labels is not None:
            labelled += 1
            _add_labels(records, image, labels, class_names)
    if not labelled:
        raise UserError(_no_labels(files, images))
    return records


def _label_files(image: Path, images: Path) -> list[Path]:
    """Where an image's labels may be: beside it, or in ``labels`` in place of the last ``images``."""
    files = [image.with_suffix(".txt")]
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            return [*files, Path(*parts).with_suffix(".txt")]
    inside = images.parent / "labels" / image.relative_to(images)
    return [*files, inside.with_suffix(".txt")]


def _no_labels(files: list[Path], images: Path) -> str:
    looked_for = " or ".join(str(file) for file in _label_files(files[0], images))
    stems = {path.stem for path in files}
    folders = Counter(
        path.parent for path in files_below(images.parent, ".txt") if path.stem in stems
    )
    text = f"{images}: no labels for any of {len(files)} images; looked for {looked_for}"
    if folders:
        folder, count = folders.most_common(1)[0]
        text += f"; {folder} holds {count} files of these names: rename it to labels"
    return text


def _add_labels(
    records: Records, image: ImageRecord, labels: Path, class_names: dict[int, str]
) -> None:
    for number, line in enumerate(read_text(labels, what="labels").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{labels}: line {number}"
        try:
            values = np.array(line.split(), np.float64)
        except ValueError:
            raise UserError(f"{where}: not numbers alone: {line[:40]!r}") from None
        kind, coordinates = values[0], values[1:]
        if len(coordinates) == 4:
            raise UserError(f"{where}: a box, not a polygon; instance masks need polygons")
        if len(coordinates) < 6 or len(coordinates) % 2:
            raise UserError(f"{where}: {len(coordinates)} coordinates are no polygon")
        if kind not in class_names:
            raise UserError(f"{where}: class {kind:g} has no name; there are {len(class_names)}")
        if not np.isfinite(coordinates).all() or np.abs(coordinates).max() > 2:
            raise UserError(f"{where}: coordinates are shares of the image, 0 to 1")
        part = coordinates.reshape(-1, 2) * (image.width, image.height)
        records.annotations.append(
            polygon_annotation(len(records.annotations) + 1, image, int(kind) + 1, [part])
        )

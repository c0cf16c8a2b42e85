"""YOLO segmentation labels as records.

A text file an image, a line an instance: ``class x1 y1 x2 y2 ...`` with coordinates as shares of the
image's width and height. Labels lie beside the images, or in ``labels`` where the images lie in ``images``.
"""

import re
from pathlib import Path

import numpy as np

from lvistk.data.convert.records import Records, polygon_annotation
from lvistk.data.images.decode import read_image
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord
from lvistk.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def read_yolo(images: Path, names: Path) -> Records:
    """The images below ``images`` with their labels; an image without a label file has no instance.

    ``names``: ``data.yaml`` with ``names``, or a text file of one name a line. Class k becomes category
    k + 1; images are numbered by path. Raises ``UserError`` naming file and line.
    """
    categories = [CategoryRecord(k + 1, name) for k, name in enumerate(read_names(names))]
    records = Records([], [], categories)
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"{images}: no images in this folder; give the folder of the images")
    for number, path in enumerate(files, 1):
        height, width = read_image(path).shape[:2]
        image = ImageRecord(number, height, width, file_name=path.relative_to(images).as_posix())
        records.images.append(image)
        labels = _label_file(path, images)
        if labels.is_file():
            _add_labels(records, image, labels)
    return records


def read_names(path: Path) -> list[str]:
    """Class names in order, of a ``data.yaml`` (a list or numbered) or a plain text file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of class names") from None
    if path.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    found = re.search(
        r"^names:[ \t]*(\[[^\]]*\]|(?:\s*\n(?:[ \t]*(?:-|\d+:)[^\n]*\n?)+))", text, re.M
    )
    if found is None:
        raise UserError(f"{path}: no list 'names' in it; give a text file of one name a line")
    if found[1].startswith("["):
        items = found[1].strip("[]").split(",")
    else:
        items = [re.sub(r"^\s*(?:-|\d+:)", "", line) for line in found[1].strip().splitlines()]
    return [item.split(" #")[0].strip().strip("'\"") for item in items if item.strip()]


def _label_file(image: Path, images: Path) -> Path:
    """Beside the image, or under ``labels`` in place of ``images`` (the last folder of that name)."""
    beside = image.with_suffix(".txt")
    if beside.is_file():
        return beside
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            return Path(*parts).with_suffix(".txt")
    inside = images.parent / "labels" / image.relative_to(images)
    return inside.with_suffix(".txt")


def _add_labels(records: Records, image: ImageRecord, labels: Path) -> None:
    for number, line in enumerate(labels.read_text().splitlines(), 1):
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
        if kind != int(kind) or not 0 <= kind < len(records.categories):
            raise UserError(
                f"{where}: class {kind:g} has no name; there are {len(records.categories)}"
            )
        if not np.isfinite(coordinates).all() or np.abs(coordinates).max() > 2:
            raise UserError(f"{where}: coordinates are shares of the image, 0 to 1")
        part = coordinates.reshape(-1, 2) * (image.width, image.height)
        records.annotations.append(
            polygon_annotation(len(records.annotations) + 1, image, int(kind) + 1, [part])
        )

"""LabelMe folders as records: one JSON an image."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from lvistk.data.convert.records import Records, polygon_annotation
from lvistk.data.index.json_bytes import JSON_ERRORS, plain_message
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord, Side
from lvistk.errors import UserError

CIRCLE_POINTS = 48
"""Corners of the polygon that stands for a circle: at a radius of 100 px it is off by .2 px (ours)."""


class Shape(msgspec.Struct):
    """Shapes of one label and ``group_id`` are parts of one instance."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str = "polygon"
    group_id: int | str | None = None


class Sheet(msgspec.Struct):
    shapes: list[Shape]
    image_path: str = msgspec.field(name="imagePath")
    height: Side = msgspec.field(name="imageHeight")
    width: Side = msgspec.field(name="imageWidth")


def read_labelme(folder: Path) -> tuple[Records, dict[str, int]]:
    """The sheets below ``folder``, and how many shapes of each kind have no area and were left out.

    Polygons, rectangles and circles become instances; points, lines and strips don't. Categories are the
    labels by name, numbered from 1; images are numbered by the path of their sheet, and their
    ``file_name`` is relative to ``folder``. Raises ``UserError`` naming the sheet.
    """
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise UserError(f"{folder}: no LabelMe JSON in this folder")
    sheets = [_read(path) for path in paths]
    names = sorted({shape.label for sheet in sheets for shape in sheet.shapes})
    ids = {name: number for number, name in enumerate(names, 1)}
    records = Records([], [], [CategoryRecord(number, name) for name, number in ids.items()])
    skipped: dict[str, int] = defaultdict(int)
    for number, (path, sheet) in enumerate(zip(paths, sheets, strict=True), 1):
        image = ImageRecord(
            number, sheet.height, sheet.width, file_name=_image(folder, path, sheet)
        )
        records.images.append(image)
        for label, parts in _instances(sheet.shapes, skipped):
            records.annotations.append(
                polygon_annotation(len(records.annotations) + 1, image, ids[label], parts)
            )
    return records, dict(skipped)


def _read(path: Path) -> Sheet:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sheet)
    except JSON_ERRORS as error:
        raise UserError(f"{path}: not a LabelMe file: {plain_message(error)}") from None


def _image(folder: Path, path: Path, sheet: Sheet) -> str:
    """The image's path below ``folder``; LabelMe writes it relative to the sheet, with either slash."""
    image = path.parent / sheet.image_path.replace("\\", "/")
    try:
        return image.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return image.name


def _instances(
    shapes: Sequence[Shape], skipped: dict[str, int]
) -> list[tuple[str, list[np.ndarray]]]:
    grouped: dict[object, tuple[str, list[np.ndarray]]] = {}
    for number, shape in enumerate(shapes):
        outline = _outline(shape)
        if outline is None:
            skipped[shape.shape_type] += 1
            continue
        key = number if shape.group_id is None else (shape.label, shape.group_id)
        grouped.setdefault(key, (shape.label, []))[1].append(outline)
    return list(grouped.values())


def _outline(shape: Shape) -> np.ndarray | None:
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if shape.shape_type == "polygon" and len(points) > 2:
        return points
    if shape.shape_type == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if shape.shape_type == "circle" and len(points) == 2:
        turn = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        radius = np.hypot(*(points[1] - points[0]))
        return points[0] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return None

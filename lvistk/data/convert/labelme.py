"""LabelMe folders as records: a sheet (JSON) per image."""

from pathlib import Path

import msgspec

from lvistk.data.convert.labelme_shapes import Shape, instances_of
from lvistk.data.convert.plain_text import doubtful_names
from lvistk.data.convert.records import (
    Records,
    mark_not_exhaustive,
    polygon_annotation,
    rle_annotation,
)
from lvistk.data.images.decode import read_image
from lvistk.data.images.image_files import name_parts
from lvistk.data.index.lvis_json import CategoryRecord, ImageRecord, Side
from lvistk.errors import UserError
from lvistk.folders import files_below
from lvistk.json_input.faults import JSON_ERRORS, json_fault
from lvistk.json_input.text import json_text


class Sheet(msgspec.Struct):
    """What one JSON says of one image."""

    shapes: list[Shape]
    image_path: str = msgspec.field(name="imagePath")
    height: Side | None = msgspec.field(name="imageHeight", default=None)
    width: Side | None = msgspec.field(name="imageWidth", default=None)


class _AnyObject(msgspec.Struct):
    shapes: msgspec.Raw = msgspec.Raw()


def read_labelme(folder: Path) -> Records:
    """The sheets below ``folder``.

    Polygons, rectangles, circles and masks become instances; points, lines and strips have no area.
    Categories are the labels by name, numbered from 1; images are numbered by the path of their sheet, and
    their ``file_name`` is relative to ``folder``. Sheets of one image are put together. Raises
    ``UserError`` naming the sheet.
    """
    records = Records([], [], [])
    sheets: list[tuple[Path, Sheet]] = []
    for path in files_below(folder, ".json"):
        sheet = _read(path)
        if sheet is None:
            records.changes.leave_out("JSON files that are no LabelMe sheets", path)
        else:
            sheets.append((path, sheet))
    if not sheets:
        raise UserError(f"{folder}: no LabelMe JSON in this folder")
    names = sorted({shape.label for _, sheet in sheets for shape in sheet.shapes})
    records.changes.notes += doubtful_names(names)
    ids = {name: number for number, name in enumerate(names, 1)}
    records.categories = [CategoryRecord(number, name) for name, number in ids.items()]
    images: dict[Path, ImageRecord] = {}
    for path, sheet in sheets:
        file = _image_file(path, sheet)
        image = images.get(file)
        if image is None:
            height, width = _size(path, sheet, file)
            name = _name(folder, file)
            image = images[file] = ImageRecord(len(images) + 1, height, width, file_name=name)
            records.images.append(image)
            records.files[image.id] = file
        else:
            records.changes.correct("sheets of an image that has another, put together", path)
        _add_shapes(records, image, sheet, ids, path)
    return records


def _add_shapes(
    records: Records, image: ImageRecord, sheet: Sheet, ids: dict[str, int], path: Path
) -> None:
    instances, left_out = instances_of(sheet.shapes)
    for shape in left_out:
        kind = f"shapes of type {shape.shape_type} without an area"
        records.changes.leave_out(kind, f"{shape.label} in {path.name}")
        mark_not_exhaustive(image, [ids[shape.label]])
    for instance in instances:
        number, category_id = len(records.annotations) + 1, ids[instance.label]
        if instance.bitmaps:
            drawn = instance.drawn((image.height, image.width))
            annotation = rle_annotation(number, image, category_id, drawn)
        else:
            annotation = polygon_annotation(number, image, category_id, instance.outlines)
        records.annotations.append(annotation)


def _read(path: Path) -> Sheet | None:
    """The sheet of a JSON file; None for JSON that has no shapes."""
    data = json_text(path).data
    try:
        if not memoryview(msgspec.json.decode(data, type=_AnyObject).shapes).nbytes:
            return None
    except msgspec.ValidationError:
        return None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: not a LabelMe file: {json_fault(data, error)}") from None
    try:
        return msgspec.json.decode(data, type=Sheet)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save the sheet as UTF-8") from None
    except JSON_ERRORS as error:
        raise UserError(f"{path}: not a LabelMe file: {json_fault(data, error)}") from None


def _image_file(path: Path, sheet: Sheet) -> Path:
    """The image of a sheet; LabelMe writes it relative to the sheet, with either slash."""
    beside = path.parent / sheet.image_path.replace("\\", "/")
    parts = name_parts(sheet.image_path)
    if not beside.is_file() and parts and (path.parent / parts[-1]).is_file():
        beside = path.parent / parts[-1]
    return beside.resolve()


def _name(folder: Path, file: Path) -> str:
    """The image's path below ``folder``, or its own name where it lies elsewhere."""
    try:
        return file.relative_to(folder.resolve()).as_posix()
    except ValueError:
        return file.name


def _size(path: Path, sheet: Sheet, file: Path) -> tuple[int, int]:
    if sheet.height is not None and sheet.width is not None:
        return sheet.height, sheet.width
    if not file.is_file():
        raise UserError(f"{path}: no imageHeight and imageWidth, and no image {file} to measure")
    height, width = read_image(file).shape[:2]
    return height, width

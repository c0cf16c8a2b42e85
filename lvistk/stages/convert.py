"""``convert``: COCO, YOLO and LabelMe data sets as LVIS files; LVIS files merged and split."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from lvistk import console
from lvistk.data.convert.coco import read_annotation_file
from lvistk.data.convert.labelme import read_labelme
from lvistk.data.convert.merge import merge
from lvistk.data.convert.records import (
    Records,
    count_categories,
    fill_federated_lists,
    write_records,
)
from lvistk.data.convert.split import split
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.defects import count_by_kind
from lvistk.data.index.lvis_json import AnnotationRecord, ImageRecord
from lvistk.errors import UserError

Item = TypeVar("Item", ImageRecord, AnnotationRecord)
Kind = Literal["coco", "yolo", "labelme", "lvis"]


def run(
    sources: Sequence[Path],
    out: Path,
    *,
    kind: Kind,
    names: Path | None = None,
    exhaustive: bool = True,
    frequency: Literal["count", "keep"] = "count",
    val_share: float = 0.0,
    seed: int = 0,
) -> None:
    """Write LVIS annotation files from data sets of another kind; several sources are merged.

    ``sources``: ``coco`` and ``lvis`` annotation files, ``yolo`` folders of images (labels beside them
    or in ``labels``), ``labelme`` folders. ``out``: the JSON to write; with ``val_share`` above 0 a
    folder, for ``train.json`` and ``val.json``, in which val has that share of the images (``seed``
    chooses).
    ``names``: YOLO's class names (``data.yaml`` or a text file). ``exhaustive``: every instance of
    every category is annotated, so that absent categories are negative (not asked for ``lvis``, whose
    files have their lists). ``frequency``: groups counted anew by images, or kept as the files say.
    Images and annotations with a defect are left out and counted.
    """
    if not 0 <= val_share < 1:
        raise UserError(f"--val-share {val_share}: give a share of the images from 0 to below 1")
    if not sources:
        raise UserError("nothing to convert: give files or folders")
    parts = [(source, _without_defects(_read(source, kind, names), source)) for source in sources]
    if kind != "lvis":
        for _, records in parts:
            fill_federated_lists(records, exhaustive=exhaustive)
    records = merge(parts) if len(parts) > 1 else parts[0][1]
    sides = {out: records}
    if val_share:
        train, val = split(records, val_share=val_share, seed=seed)
        sides = {out / "train.json": train, out / "val.json": val}
    # Frequency groups are those of training, in both files.
    count_categories(next(iter(sides.values())), frequency=frequency)
    for path, side in sides.items():
        write_records(side, path, info=f"made from {kind} by lvistk convert")
        console.say(f"{path}: {len(side.images)} images, {len(side.annotations)} annotations")
    _say_groups(records)


def _read(source: Path, kind: Kind, names: Path | None) -> Records:
    match kind:
        case "coco" | "lvis":
            return read_annotation_file(source)
        case "yolo":
            from lvistk.data.convert.yolo import read_yolo  # imports OpenCV

            if names is None:
                raise UserError(f"{source}: YOLO numbers its classes; give --names data.yaml")
            return read_yolo(source, names)
        case "labelme":
            records, skipped = read_labelme(source)
            if skipped:
                shown = ", ".join(f"{count} of type {kind}" for kind, count in skipped.items())
                console.warn(f"{source}: left out shapes without an area: {shown}")
            return records


def _without_defects(records: Records, source: Path) -> Records:
    """Without what ``inspect`` would name; says how much that is."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "converted.json"
        write_records(records, path, info="")
        index = AnnotationIndex.open([path], cache=Path(folder), defects="skip")
        if not index.defect_count:
            return records
        counts = count_by_kind(index.defects)
        images = set(index.image_ids.tolist())
        annotations = set(index.annotation_ids.tolist())
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    console.warn(f"{source}: left out records with a defect: {shown} (`lvistk inspect` names them)")
    known = {category.id for category in records.categories}
    kept = Records(
        images=_first_of_each([image for image in records.images if image.id in images]),
        annotations=_first_of_each([a for a in records.annotations if a.id in annotations]),
        categories=records.categories,
    )
    for image in kept.images:
        image.neg_category_ids = [n for n in image.neg_category_ids if n in known]
        listed = image.not_exhaustive_category_ids
        image.not_exhaustive_category_ids = [n for n in listed if n in known]
    return kept


def _first_of_each(items: list[Item]) -> list[Item]:
    """Of records with one id, the first, as the index takes it."""
    found: dict[int, Item] = {}
    for item in items:
        found.setdefault(item.id, item)
    return list(found.values())


def _say_groups(records: Records) -> None:
    groups = {
        name: sum(category.frequency == letter for category in records.categories)
        for letter, name in (("r", "rare"), ("c", "common"), ("f", "frequent"))
    }
    shown = ", ".join(f"{count} {name}" for name, count in groups.items())
    console.say(f"{len(records.categories)} categories: {shown}")

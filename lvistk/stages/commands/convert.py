"""``convert``: COCO, YOLO and LabelMe data sets as LVIS files; LVIS files merged and split."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from lvistk import console
from lvistk.data.convert.clean import clean
from lvistk.data.convert.coco import Crowds, read_annotation_file
from lvistk.data.convert.merge import add_prefix, merge
from lvistk.data.convert.records import (
    Records,
    count_categories,
    fill_federated_lists,
    write_records,
)
from lvistk.data.convert.split import split
from lvistk.data.index.category_union import similar_names
from lvistk.data.index.lvis_json import CategoryRecord
from lvistk.errors import UserError

Kind = Literal["coco", "yolo", "labelme", "lvis"]


def run(
    sources: Sequence[Path],
    out: Path,
    *,
    kind: Kind,
    names: Path | None = None,
    prefixes: Sequence[str] = (),
    crowds: Crowds = "not-exhaustive",
    exhaustive: bool = True,
    frequency: Literal["count", "keep"] = "count",
    val_share: float = 0.0,
    val_sources: Sequence[Path] = (),
    seed: int = 0,
) -> None:
    """Write LVIS annotation files from data sets of another kind; several sources are merged.

    Images and annotations with a defect are mended or left out, and told. What is left out makes its category
    not exhaustive in its image. Raises ``UserError`` where no annotation is left.

    sources: ``coco`` and ``lvis`` annotation files, ``yolo`` folders of images (labels beside them or in
        ``labels``), ``labelme`` folders
    out: the JSON to write; with ``val_share`` above 0 a folder, for ``train.json`` and ``val.json``
    names: YOLO's class names (``data.yaml`` or a text file)
    prefixes: a folder for each source, put before its images' names; none: names stay
    crowds: what crowd regions of ``coco`` and ``lvis`` are, see ``read_annotation_file``
    exhaustive: every instance of every category is annotated, so that absent categories are negative (not
        asked for ``lvis``, whose files have their lists)
    frequency: groups counted anew by images, or kept as the files say
    val_share: share of the images that val has
    val_sources: what val is made of, where the data set is split already; as ``sources``
    seed: chooses the images of val

    Raises ``UserError`` for an option that ``kind`` does not take, and where a file to write is a source.
    """
    if not 0 <= val_share < 1:
        raise UserError(f"--val-share {val_share}: give a share of the images from 0 to below 1")
    if not sources:
        raise UserError("nothing to convert: give files or folders")
    if val_share and val_sources:
        raise UserError(
            "--val-share and --val: give one, a share of the images or sources of their own"
        )
    if kind == "lvis" and not exhaustive:
        raise UserError(
            "--not-exhaustive is for data without LVIS's lists; --from lvis keeps those of the files"
        )
    if prefixes and len(prefixes) != len(sources):
        raise UserError(
            f"--prefix: {len(prefixes)} given for {len(sources)} sources; give one each"
        )
    if seed and not val_share:
        raise UserError("--seed chooses the images of --val-share; give that too")
    _require_taken(kind, names=names, crowds=crowds, frequency=frequency)
    _require_no_source(
        [out / "train.json", out / "val.json"] if val_share or val_sources else [out],
        [*sources, *val_sources],
    )
    read = partial(_read, kind=kind, names=names, crowds=crowds)
    records = _merged(sources, read, kind=kind, prefixes=prefixes, exhaustive=exhaustive)
    _say_similar_names(records)
    sides = {out: records}
    if val_sources:
        val = _merged(val_sources, read, kind=kind, prefixes=(), exhaustive=exhaustive)
        val.categories = _same_categories(records, val, val_sources[0])
        sides = {out / "train.json": records, out / "val.json": val}
    if val_share:
        train, val = split(records, val_share=val_share, seed=seed)
        if records.annotations and not val.annotations:
            raise UserError(
                f"{sources[0]}: {len(records.images)} images are too few for a val.json with a share of "
                f"{val_share:g}: it would have no annotations; add images, or convert with a larger "
                "--val-share or with --val"
            )
        sides = {out / "train.json": train, out / "val.json": val}
    # Frequency groups are those of training, in both files.
    count_categories(next(iter(sides.values())), frequency=frequency)
    for path, side in sides.items():
        write_records(side, path, info=f"made from {kind} by lvistk convert")
        console.say(f"{path}: {len(side.images)} images, {len(side.annotations)} annotations")
    _say_groups(records)


def _require_taken(kind: Kind, *, names: Path | None, crowds: Crowds, frequency: str) -> None:
    """Raise ``UserError`` for an option that means nothing for ``kind``."""
    given = {
        "names": (names is not None, ("yolo",)),
        "crowds": (crowds != "not-exhaustive", ("coco", "lvis")),
        "frequency keep": (frequency == "keep", ("coco", "lvis")),
    }
    for option, (is_given, kinds) in given.items():
        if is_given and kind not in kinds:
            raise UserError(f"--{option} is not for --from {kind}, but for {', '.join(kinds)}")


def _require_no_source(written: Sequence[Path], sources: Sequence[Path]) -> None:
    """Raise ``UserError`` where a file to write would replace a source."""
    for path in written:
        for source in sources:
            if path.exists() and source.exists() and path.samefile(source):
                raise UserError(
                    f"--out: {path} is a source, and would be replaced; choose another --out"
                )


def _merged(
    sources: Sequence[Path],
    read: Callable[[Path], Records],
    *,
    kind: Kind,
    prefixes: Sequence[str],
    exhaustive: bool,
) -> Records:
    """The sources as one data set, mended, with what was mended told."""
    parts = []
    for number, source in enumerate(sources):
        records = read(source)
        clean(records, source)
        if not records.annotations:
            _refuse_empty(records, source, kind)
        if prefixes:
            add_prefix(records, prefixes[number])
        if kind != "lvis":
            fill_federated_lists(records, exhaustive=exhaustive)
        parts.append((source, records))
    records = merge(parts)
    for source, part in parts:
        for line in part.changes.lines():
            console.warn(f"{source}: {line}")
    return records


def _same_categories(train: Records, val: Records, source: Path) -> list[CategoryRecord]:
    """The categories of ``train``, with whose counts both files are written.

    Raises ``UserError`` where ``val`` has one that is none of these.
    """
    known = {(category.id, category.name) for category in train.categories}
    for category in val.categories:
        if (category.id, category.name) not in known:
            raise UserError(
                f"{source}: category {category.id} '{category.name}' is not one of training; make one "
                "data set of all sources and split it with --val-share"
            )
    return train.categories


def _read(source: Path, kind: Kind, *, names: Path | None, crowds: Crowds) -> Records:
    match kind:
        case "coco" | "lvis":
            return read_annotation_file(source, crowds=crowds)
        case "yolo":
            from lvistk.data.convert.yolo import read_yolo  # imports OpenCV

            if names is None:
                raise UserError(f"{source}: YOLO numbers its classes; give --names data.yaml")
            return read_yolo(source, names)
        case "labelme":
            from lvistk.data.convert.labelme import read_labelme  # imports OpenCV

            return read_labelme(source)


def _refuse_empty(records: Records, source: Path, kind: Kind) -> None:
    """A source without annotations is an error, but LVIS files may list images alone, as test-dev does."""
    why = "; ".join(records.changes.lines())
    if why:
        raise UserError(f"{source}: no annotation is left: {why}")
    if kind != "lvis":
        raise UserError(f"{source}: no annotations in it; give the file or folder that holds them")


def _say_similar_names(records: Records) -> None:
    ids = [category.id for category in records.categories]
    for group in similar_names(ids, [category.name for category in records.categories]):
        console.warn(f"categories of nearly the same name: {group}; rename them to make them one")


def _say_groups(records: Records) -> None:
    groups = {
        name: sum(category.frequency == letter for category in records.categories)
        for letter, name in (("r", "rare"), ("c", "common"), ("f", "frequent"))
    }
    shown = ", ".join(f"{count} {name}" for name, count in groups.items())
    console.say(f"{len(records.categories)} categories: {shown}")

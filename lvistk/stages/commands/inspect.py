"""``inspect``: what annotation files hold, and every defect by id."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from lvistk import console
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.defects import CORRECTIONS, DEFECTS, record_name
from lvistk.data.inspect.inspection import Inspection, inspect_index
from lvistk.errors import UserError
from lvistk.whole_file import write_json

GROUP_NAMES = {"r": "rare", "c": "common", "f": "frequent", "": "none"}
SHOWN = 20
"""Lines of a table; the JSON has all."""


def run(
    annotations: Sequence[Path],
    images: Path | None = None,
    *,
    out: Path | None = None,
    json: bool = False,
    decode: bool = False,
    cache: Path | None = None,
) -> Inspection:
    """Print tables about annotation files (JSON or detection stores); returns what they show.

    ``images``: folder of the images, to look for missing and cut ones; ``decode`` also decodes and
    measures every image. ``out``: a folder for ``inspect.json``, ``long_tail.png``,
    ``area_ratios.png`` and, with images, ``contact_sheet.jpg``. ``json``: print the JSON
    instead of tables. ``cache``: where the index is kept, else the user's cache. Raises ``UserError`` for
    files that are no annotations at all; what single records lack is in the report.
    """
    if decode and images is None:
        raise UserError("--decode measures images: give their folder with --images")
    index = AnnotationIndex.open(annotations, cache=cache, defects="skip")
    faults = None
    if images is not None:
        from lvistk.data.inspect.image_check import check_images  # imports OpenCV

        with console.progress("images", len(index)) as line:
            faults = check_images(index, images, decode=decode, advance=line.advance)
    report = inspect_index(index, image_faults=faults)
    if json:
        console.say(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if out is not None:
        _write(report, index, images, out)
        if not json:
            console.say(f"wrote {out}")
    return report


def _write(report: Inspection, index: AnnotationIndex, images: Path | None, out: Path) -> None:
    from lvistk.data.inspect import pictures  # imports matplotlib

    write_json(out / "inspect.json", msgspec.to_builtins(report))
    pictures.draw_long_tail(report, out / "long_tail.png")
    pictures.draw_area_ratios(report, out / "area_ratios.png")
    if images is not None:
        pictures.draw_contact_sheet(index, images, out / "contact_sheet.jpg")


def _print(report: Inspection) -> None:
    used = sum(category.instances > 0 for category in report.categories)
    rows = [
        ("images in the files", report.file_images),
        ("annotations in the files", report.file_annotations),
        ("categories in the files", len(report.categories)),
        ("images without a defect that is left out", report.images),
        ("annotations without a defect that is left out", report.annotations),
        ("images without annotations", len(report.images_without_annotations)),
        ("annotations per image", report.annotations_per_image),
        ("categories with annotations", used),
        ("negative categories per image", report.negative_per_image),
        ("not exhaustive categories per image", report.not_exhaustive_per_image),
        ("mean area ratio", report.area_ratio_mean),
        ("areas computed (not in the file)", report.areas_computed),
    ]
    console.table(", ".join(report.files), ("what", ""), rows)
    console.table(
        "frequency groups",
        ("group", "categories, by the file", "by images here", "annotations"),
        [
            (GROUP_NAMES[g.group], g.categories_by_file, g.categories_by_count, g.annotations)
            for g in report.groups
        ],
    )
    ordered = sorted(report.categories, key=lambda c: -c.instances)[:SHOWN]
    console.table(
        f"the {len(ordered)} largest of {len(report.categories)} categories",
        ("category", "group", "images", "instances", "the file says", "area ratio"),
        [
            (c.name, c.frequency, c.images, c.instances, c.file_instances, c.area_ratio)
            for c in ordered
        ],
    )
    for names in report.similar_names:
        console.say(f"categories of nearly the same name: {names}")
    _print_defects(report)
    if report.image_faults is not None:
        _print_images(report)


def _print_defects(report: Inspection) -> None:
    if not report.defects:
        console.say("no defects")
        return
    console.table(
        f"{len(report.defects)} defects",
        ("kind", "meaning", "what is done", "records"),
        [
            (kind, DEFECTS[kind], CORRECTIONS.get(kind, "left out"), count)
            for kind, count in report.defect_counts.items()
        ],
        left=3,
    )
    console.table(
        "defects by id",
        ("file", "record", "what"),
        [(Path(d.file).name, record_name(d.section, d.id), d.text) for d in report.defects[:SHOWN]],
        left=3,
    )
    if len(report.defects) > SHOWN:
        console.say(f"... and {len(report.defects) - SHOWN} more; --out or --json has all")


def _print_images(report: Inspection) -> None:
    faults = report.image_faults or []
    if not faults:
        console.say(f"all {report.images} images are there")
        return
    console.table(
        f"{len(faults)} of {report.images} images cannot be used",
        ("image", "kind", "what"),
        [(f"{f.image_id} {f.file}", f.kind, f.text) for f in faults[:SHOWN]],
        left=3,
    )
    if len(faults) > SHOWN:
        console.say(f"... and {len(faults) - SHOWN} more; --out or --json has all")

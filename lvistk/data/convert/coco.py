"""COCO and LVIS annotation files as records."""

from pathlib import Path

from lvistk.data.convert.records import Records
from lvistk.data.index.lvis_json import AnnotationFile, Broken
from lvistk.errors import UserError


def read_annotation_file(path: Path) -> Records:
    """An LVIS or COCO file. Crowd regions are left out and make their category not exhaustive.

    A crowd says that there are more instances than are annotated, which is what LVIS's list means.
    Raises ``UserError`` for an image or annotation that does not fit, naming it.
    """
    file = AnnotationFile(path)
    records = Records([], [], file.categories())
    for image in file.images():
        if isinstance(image, Broken):
            raise UserError(f"{path}: image {image.id} (number {image.position}): {image.reason}")
        records.images.append(image)
    by_id = {image.id: image for image in records.images}
    for annotation in file.annotations():
        if isinstance(annotation, Broken):
            raise UserError(
                f"{path}: annotation {annotation.id} (number {annotation.position}): "
                f"{annotation.reason}"
            )
        if not annotation.iscrowd:
            records.annotations.append(annotation)
        elif annotation.image_id in by_id:
            listed = by_id[annotation.image_id].not_exhaustive_category_ids
            if annotation.category_id not in listed:
                listed.append(annotation.category_id)
    return records

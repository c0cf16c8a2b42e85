"""COCO and LVIS annotation files as records."""

from pathlib import Path
from typing import Literal

from lvistk.data.convert.records import Records, mark_not_exhaustive
from lvistk.data.images.image_files import name_parts
from lvistk.data.index.lvis_json import AnnotationFile, Broken, categories_of

Crowds = Literal["not-exhaustive", "instances"]
CROWD = "crowd regions (iscrowd 1; --crowds instances makes them instances)"


def read_annotation_file(path: Path, *, crowds: Crowds = "not-exhaustive") -> Records:
    """An LVIS or COCO file. Records that cannot be read are left out and told.

    crowds: what crowd regions (iscrowd 1) are. ``not-exhaustive``: they say that there are more instances
        than are annotated, which is what LVIS's list means. ``instances``: instances, as CVAT writes masks
    """
    file = AnnotationFile(path)
    records = Records([], [], file.categories())
    categories_of(records.categories, path)  # refuses an id used twice
    _take_images(records, file)
    _take_annotations(records, file, crowds=crowds)
    if file.mentions('"keypoints"'):
        records.changes.notes.append("key points are not taken over, instances are")
    return records


def _take_images(records: Records, file: AnnotationFile) -> None:
    for image in file.images():
        if isinstance(image, Broken):
            kind = f"images that do not fit ({image.reason})"
            records.changes.leave_out(kind, _called(image))
            continue
        records.images.append(image)
        beside = file.path.parent.joinpath(*name_parts(image.file_name))
        if image.file_name and beside.is_file():
            records.files[image.id] = beside


def _take_annotations(records: Records, file: AnnotationFile, *, crowds: Crowds) -> None:
    by_id = {image.id: image for image in records.images}
    all_ids = [category.id for category in records.categories]
    for annotation in file.annotations():
        broken = isinstance(annotation, Broken)
        if broken:
            kind = f"annotations that do not fit ({annotation.reason})"
            records.changes.leave_out(kind, _called(annotation))
        elif annotation.iscrowd and crowds == "not-exhaustive":
            records.changes.leave_out(CROWD, annotation.id)
        else:
            annotation.iscrowd = 0
            records.annotations.append(annotation)
            continue
        category_id, image_id = annotation.category_id, annotation.image_id
        image = None if image_id is None else by_id.get(image_id)
        concerned = [image] if image is not None else records.images if image_id is None else []
        for one in concerned:  # an annotation that does not say of which image may be of any
            mark_not_exhaustive(one, all_ids if category_id is None else [category_id])


def _called(broken: Broken) -> str:
    return str(broken.id) if broken.id is not None else f"number {broken.position} of the list"

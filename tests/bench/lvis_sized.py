"""An annotation file of LVIS v1 train's size, made by repeating real polygons."""

import json
from pathlib import Path

from tests.shared_data import REALDATA

ANNOTATIONS = 1_270_141
"""Of LVIS v1 train; at 900 bytes a record, its mean."""
COCO_IMAGES = 15
"""Images of COCO's longer polygons beside the real LVIS ones, so that the mean is right."""


def write_lvis_sized(path: Path, *, annotations: int = ANNOTATIONS) -> None:
    """Copies of real images and annotations, each copy under ids of its own, unsorted as in LVIS."""
    folder = REALDATA / "annotations"
    real = json.loads((folder / "lvis_v1_real_train.json").read_text())
    coco = json.loads((folder / "coco_as_lvis_v1_train.json").read_text())
    images = real["images"] + coco["images"][:COCO_IMAGES]
    known = {image["id"]: place for place, image in enumerate(images)}
    records = [a for a in real["annotations"] + coco["annotations"] if a["image_id"] in known]
    heads = [_without(image, "id") for image in images]
    tails = [(known[a["image_id"]], _without(a, "id", "image_id")) for a in records]
    copies = -(-annotations // len(records))
    with path.open("w") as out:
        out.write('{"info": {}, "licenses": [], "images": [')
        separator = ""
        for number in range(copies * len(images)):
            out.write(f'{separator}{{"id": {number + 1}, {heads[number % len(images)]}')
            separator = ", "
        out.write('], "annotations": [')
        separator = ""
        for number in range(annotations):
            place, tail = tails[number % len(records)]
            image_id = number // len(records) * len(images) + place + 1
            out.write(f'{separator}{{"id": {number + 1}, "image_id": {image_id}, {tail}')
            separator = ", "
        out.write('], "categories": ' + json.dumps(real["categories"]) + "}")


def _without(record: dict, *keys: str) -> str:
    """The JSON of ``record`` after its opening brace, without ``keys``."""
    return json.dumps({k: v for k, v in record.items() if k not in keys})[1:]

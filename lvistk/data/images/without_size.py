"""Images that an annotation file lists without their size: enough to detect on them."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lvistk.data.images.image_files import display_name
from lvistk.json_input.text import json_text


class UnsizedImage(NamedTuple):
    """An image's id, and what the file calls it."""

    image_id: int
    name: str


class _Listed(msgspec.Struct):
    images: list[dict[str, Any]] = []


def images_without_size(path: Path) -> list[UnsizedImage]:
    """The images of a JSON file that have an id and a name, but lack height or width."""
    listed = msgspec.json.decode(json_text(path).data, type=_Listed).images
    unsized = []
    for record in listed:
        number = record.get("id")
        name = display_name(str(record.get("file_name") or ""), str(record.get("coco_url") or ""))
        sized = record.get("height") and record.get("width")
        if isinstance(number, int) and name and not sized:
            unsized.append(UnsizedImage(number, name))
    return unsized

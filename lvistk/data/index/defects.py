"""What can be wrong with a record of an annotation file, told by id."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

DEFECTS = {
    "wrong_type": "a field is missing or of the wrong type",
    "id_twice": "an id is used twice",
    "no_name": "the image has neither coco_url nor file_name",
    "unknown_image": "the image id is not in the file",
    "unknown_category": "the category id is not in the file",
    "crowd": "a crowd region, not an instance (iscrowd)",
    "degenerate_polygon": "a polygon has too few points, an odd length, or numbers that are not finite",
    "empty_mask": "the mask has no area",
    "broken_rle": "the RLE cannot be decoded or has another size than the image",
    "bad_part": "a part beside good ones is no polygon",
    "degenerate_box": "the box has no area or is not finite",
    "box_outside": "the box leaves the image",
    "box_far": "the box is far from its mask",
    "area_wrong": "the area is not that of the mask",
}
"""Kinds of defects, in the order in which they are looked for."""
CORRECTIONS = {
    "bad_part": "the other parts are used",
    "degenerate_box": "computed from the mask",
    "box_outside": "computed from the mask",
    "box_far": "computed from the mask",
    "area_wrong": "computed from the mask",
}
"""Kinds whose record is used, and what is done about them. Other records are left out."""


class Defect(msgspec.Struct, frozen=True, array_like=True):
    """One defect.

    source: number of the annotation file
    section: list that holds the record
    id: of the record, None where it has none
    kind: one of ``DEFECTS``
    text: what is wrong, with its values
    """

    source: int
    section: Literal["image", "annotation"]
    id: int | None
    kind: str
    text: str

    @property
    def corrected(self) -> bool:
        """Whether the record is used with the value computed anew; else it is left out."""
        return self.kind in CORRECTIONS

    def line(self, sources: Sequence[Path]) -> str:
        """``train.json: annotation 7: its box is ...``."""
        return f"{sources[self.source]}: {record_name(self.section, self.id)}: {self.text}"


def record_name(section: str, id: int | None) -> str:
    """``annotation 7``; the section alone where the record has no id: the text says its number then."""
    return section if id is None else f"{section} {id}"


def count_by_kind(defects: Sequence[Defect]) -> dict[str, int]:
    """How many of each kind, in the order of ``DEFECTS``; kinds that don't occur are left out."""
    counts = Counter(defect.kind for defect in defects)
    return {kind: counts[kind] for kind in DEFECTS if counts[kind]}

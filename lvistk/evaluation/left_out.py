"""Warnings about detections that were left out, or that cannot match anything."""

from typing import NamedTuple

import numpy as np


class LeftOut(NamedTuple):
    """What of an input's detections could not be evaluated, or not as it is.

    unknown_categories, unknown_images: detections whose category or image is not in the ground truth
    foreign_sizes: masks whose size is not their image's
    dropped: parts of masks that are no polygons
    least_ids, most_ids: the lowest and the highest image id and category id of the input
    """

    unknown_categories: int
    unknown_images: int
    foreign_sizes: int
    dropped: int
    least_ids: tuple[int, int]
    most_ids: tuple[int, int]


def warnings_of(
    name: str, left_out: LeftOut, *, image_ids: np.ndarray, category_ids: np.ndarray
) -> list[str]:
    """What a user should know of an input: a line each, beginning with its ``name``.

    image_ids, category_ids: those of the ground truth, ascending
    """
    counts = (
        (left_out.unknown_categories, "detections whose category is not in the ground truth"),
        (left_out.unknown_images, "detections in images that are not in the ground truth"),
        (left_out.foreign_sizes, "masks whose size is not their image's; they match nothing"),
        (left_out.dropped, "parts of masks are no polygons, left out beside good ones"),
    )
    lines = [f"{count} {what}" for count, what in counts if count]
    ends = zip(left_out.least_ids, left_out.most_ids, strict=True)
    for what, ids, (least, most) in zip(
        ("image", "category"), (image_ids, category_ids), ends, strict=True
    ):
        if len(ids) and least == ids[0] - 1 and most < ids[-1]:
            lines.append(
                f"{what} ids go from {least} to {most}, those of the ground truth from {ids[0]} to "
                f"{ids[-1]}; if all are one too low, add 1 to each"
            )
    return [f"{name}: {line}" for line in lines]

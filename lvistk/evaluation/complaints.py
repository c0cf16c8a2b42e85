"""What can be wrong with a detection, as codes that compiled code returns, and in words."""

from pathlib import Path

from lvistk.errors import UserError
from lvistk.evaluation.blocks import HAS_CATEGORY, HAS_IMAGE
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, MOST_PIXELS, TOO_LARGE

NO_FIELDS, BAD_SCORE, NO_BOX, NO_SEGMENTATION, BAD_BOX = 3, 4, 5, 6, 7
COMPLAINTS = {
    BAD_COUNTS: "its RLE does not fill its size",
    BAD_POLYGON: "a polygon with fewer than three points, an odd number of coordinates, or "
    "coordinates far outside",
    TOO_LARGE: f"its image has more than {MOST_PIXELS} pixels, too many for a mask",
    NO_FIELDS: "image_id, category_id or score is missing",
    BAD_SCORE: "its score is not a finite number",
    NO_BOX: "it has no bbox, but the first detection has one",
    NO_SEGMENTATION: "it has no segmentation, but the first detection has one and no bbox",
    BAD_BOX: "its bbox has a number that is not finite",
}
UNKNOWN_IMAGE = (
    "the ground truth has no such image; give the matching ground truth, or evaluate with "
    "evaluate.unknown_images=drop (compare --unknown-images drop) to leave such detections out"
)


def unknown_image(image_id: int, first_id: int) -> str:
    """The complaint about an image that is not in the ground truth, whose image ids begin at ``first_id``."""
    if image_id != first_id - 1:
        return UNKNOWN_IMAGE
    return (
        f"{UNKNOWN_IMAGE}; its image ids begin at {first_id}: are those of the results one too low?"
    )


def bad_detection(
    path: Path, row: int, *, has: int, image_id: int, category_id: int, complaint: str
) -> UserError:
    """The error of the detection in ``row`` of a file, named by what it has of its ids."""
    ids = [
        f"{name} {value}"
        for bit, name, value in (
            (HAS_IMAGE, "image_id", image_id),
            (HAS_CATEGORY, "category_id", category_id),
        )
        if has & bit
    ]
    named = f" ({', '.join(ids)})" if ids else ""
    return UserError(f"{path}: detection {row + 1}{named}: {complaint}")

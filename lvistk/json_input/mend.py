"""A record whose values are written differently from what LVIS and COCO write, as what was meant.

null is the same as absent, 1.0 is 1, false and true are 0 and 1. Ids stay as they are when they are text:
whoever asks for them says what they could have meant.
"""

import math
from typing import Any

from lvistk.json_input.segmentation import Unfit, short

ID_LIMIT = 2**63
DIGITS = 40
"""Characters of a text that is tried as an id; Python refuses numbers of thousands of digits."""
IDS = ("id", "image_id", "category_id")
WHOLE = ("height", "width", "image_count", "instance_count")
FLAGS = ("iscrowd", "ignore")
NUMBERS = ("score", "area")
ID_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
TEXTS = ("name", "file_name", "coco_url", "flickr_url", "frequency", "synset", "def")
_FLAG_TEXTS = {"0": 0, "1": 1, "false": 0, "true": 1}


def mend_record(record: Any) -> dict[str, Any]:
    """The record with its known fields in their usual types; unknown fields and ``segmentation`` as they are.

    Raises ``Unfit`` naming the field for a value that means nothing.
    """
    if not isinstance(record, dict):
        raise Unfit(f"{short(record)} is no record {{...}}")
    mended = {name: value for name, value in record.items() if value is not None}
    for names, read in (
        (IDS, _id),
        (WHOLE, whole),
        (FLAGS, flag),
        (NUMBERS, number),
        (ID_LISTS, _ids),
        (TEXTS, _text),
    ):
        for name in names:
            if name in mended:
                mended[name] = read(name, mended[name])
    if "bbox" in mended:
        mended["bbox"] = _box(mended["bbox"])
        if not mended["bbox"]:
            del mended["bbox"]
    return mended


def whole(name: str, value: Any) -> int:
    """A whole number of at most 64 bits, also from 1.0, true and false."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if not isinstance(value, int):
        raise Unfit(f"{name} {short(value)} is no whole number; write one")
    if not -ID_LIMIT <= value < ID_LIMIT:
        raise Unfit(
            f"{name} {short(value)} is beyond 64 bits (at most {ID_LIMIT - 1}); number them anew"
        )
    return value


def id_of_digits(text: str) -> int | None:
    """The id that ``text`` writes in digits, None where it is no whole number of 64 bits."""
    digits = text.strip()
    if not (digits.isascii() and digits.lstrip("-").isdigit()):
        return None
    number = int(digits) if len(digits) <= DIGITS and digits.rfind("-") < 1 else ID_LIMIT
    return number if -ID_LIMIT <= number < ID_LIMIT else None


def flag(name: str, value: Any) -> int:
    """0 or 1 (any number but 0), also from true, false and their texts."""
    if isinstance(value, str) and value.strip().lower() in _FLAG_TEXTS:
        return _FLAG_TEXTS[value.strip().lower()]
    if not isinstance(value, int | float):
        raise Unfit(f"{name} {short(value)} is neither 0 nor 1")
    return int(value != 0)


def number(name: str, value: Any) -> float:
    """A number, NaN and infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{name} {short(value)} is no number")
    try:
        return float(value)
    except OverflowError:
        raise Unfit(f"{name} {short(value)} is no number that fits 64 bits") from None


def _id(name: str, value: Any) -> int | str:
    return value if isinstance(value, str) else whole(name, value)


def _ids(name: str, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise Unfit(f"{name} {short(value)} is no list of category ids")
    return [whole(name, one) for one in value]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{name} {short(value)} is no text; put it in quotes")
    return value


def _box(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) not in (0, 4):
        size = f"has {len(value)} numbers, not 4" if isinstance(value, list) else "is no list"
        raise Unfit(f"bbox {size}; write [x, y, width, height]")
    return [number("bbox", one) for one in value]

"""Lists of Open Images images: the published CSVs, downloader lists, bare ids."""

import csv
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvistk.errors import UserError

IMAGE_ID = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)
FLICKR_FILE = re.compile(r"staticflickr\.com/(?:[^/]+/)*(\d+)_[^/]*$", re.ASCII)
FLICKR_PAGE = re.compile(r"flickr\.com/photos/[^/]+/(\d+)", re.ASCII)
SPLITS = ("train", "test", "validation", "challenge2018")
SHOWN = 60
"""Characters of a line shown in an error."""


@dataclass(eq=False)
class PoolList:
    """N images by ascending id.

    ids: (N,) uint64
    turns: (N,) uint8, quarter turns counter-clockwise, 0 where unknown
    flickr_ids: (N,) int64, -1 where unknown
    """

    ids: np.ndarray
    turns: np.ndarray
    flickr_ids: np.ndarray


def read_list(path: Path) -> PoolList:
    """A list of any of the three kinds; a repeated id counts once.

    Lines are read one by one; memory is 17 bytes per image. Raises ``UserError`` naming the line.
    """
    ids, turns, flickr = array("Q"), array("B"), array("q")
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            start = next(csv.reader([lines.readline()]), [])
            is_csv = "ImageID" in [name.strip() for name in start]
            lines.seek(0)
            for image, turn, number in _csv_rows(lines, path) if is_csv else _lines(lines, path):
                ids.append(image)
                turns.append(turn)
                flickr.append(number)
    except FileNotFoundError:
        raise UserError(f"{path}: no such list of images") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a list of images: {error}") from None
    unique, first = np.unique(np.frombuffer(ids, np.uint64), return_index=True)
    return PoolList(
        ids=unique,
        turns=np.frombuffer(turns, np.uint8)[first],
        flickr_ids=np.frombuffer(flickr, np.int64)[first],
    )


def flickr_id(url: str) -> int:
    """The number of a Flickr image in the address of its file or of its page; -1 where there is none."""
    match = FLICKR_FILE.search(url) or FLICKR_PAGE.search(url)
    return int(match.group(1)) if match and len(match.group(1)) < 19 else -1


def _csv_rows(lines: Iterator[str], path: Path) -> Iterator[tuple[int, int, int]]:
    """Id, quarter turns and Flickr id of each row; columns are found by name, and V3 has no Rotation."""
    reader = csv.reader(lines)
    names = [name.strip() for name in next(reader)]
    image = names.index("ImageID")
    rotation = names.index("Rotation") if "Rotation" in names else None
    urls = [names.index(n) for n in ("OriginalURL", "OriginalLandingURL") if n in names]
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            raise UserError(
                f"{path}: line {reader.line_num} has {len(row)} fields, the first has {len(names)}"
            )
        turn = 0 if rotation is None else _quarter_turns(row[rotation], path, reader.line_num)
        numbers = (flickr_id(row[column]) for column in urls)
        yield (
            _image_id(row[image], path, reader.line_num),
            turn,
            next((number for number in numbers if number >= 0), -1),
        )


def _lines(lines: Iterator[str], path: Path) -> Iterator[tuple[int, int, int]]:
    """Lines ``split/ImageID``, or bare ids, with or without ``.jpg``; empty lines are skipped."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        split, _, name = text.rpartition("/")
        if split and split not in SPLITS:
            raise UserError(f"{path}: line {number}: {split!r} is none of {', '.join(SPLITS)}")
        yield _image_id(name.removesuffix(".jpg"), path, number), 0, -1


def _image_id(text: str, path: Path, line: int) -> int:
    if not IMAGE_ID.fullmatch(text.strip()):
        raise UserError(f"{path}: line {line}: {text[:SHOWN]!r} is no ImageID of 16 hex digits")
    return int(text, 16)


def _quarter_turns(text: str, path: Path, line: int) -> int:
    """``90.0`` is 1; empty or nan is unknown, taken as 0."""
    stripped = text.strip().lower()
    if stripped in ("", "nan"):
        return 0
    try:
        degrees = float(stripped)
    except ValueError:
        degrees = np.nan
    if degrees not in (0, 90, 180, 270):
        raise UserError(f"{path}: line {line}: rotation {text[:SHOWN]!r} is not 0, 90, 180 or 270")
    return int(degrees) // 90

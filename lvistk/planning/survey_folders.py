"""The folders of training and validation of YOLO and LabelMe data."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lvistk.data.convert.yolo_folders import named_folders
from lvistk.errors import UserError

Role = Literal["train", "val", "test"]
ROLES: dict[Role, re.Pattern[str]] = {
    "val": re.compile(r"(^|[^a-z])(minival|validation|valid|val|dev)([^a-z]|\d|$)", re.IGNORECASE),
    "test": re.compile(r"(^|[^a-z])test([^a-z]|\d|$)", re.IGNORECASE),
    "train": re.compile(r"train", re.IGNORECASE),
}
MOST_FOLDERS = 200
"""Folders of JSON files that are looked into for LabelMe sheets."""


@dataclass(frozen=True)
class Folders:
    """Sources of training and validation, as ``convert`` takes them, and a line about them.

    val: None where there is no split. images: the folder that the names of training images start at.
    """

    train: Path
    val: Path | None
    images: Path
    told: str


def role_of(name: str) -> Role | None:
    """What a file or folder is for, by its name; None where that says nothing."""
    return next((role for role, pattern in ROLES.items() if pattern.search(name)), None)


def role_of_folder(path: Path, folder: Path) -> Role | None:
    """What a folder is for, by its own name or the nearest above it, up to ``folder``."""
    parts = path.relative_to(folder).parts
    return next((role for part in reversed(parts) if (role := role_of(part))), None)


def yolo_folders(yaml: Path) -> Folders:
    """Those that ``data.yaml`` names, else ``images/train`` and ``images/val`` beside it, else one folder.

    Raises ``UserError`` where the file names lists of images or several folders, or train and val overlap.
    """
    train, val = named_folders(yaml)
    base = yaml.parent
    images = base / "images" if (base / "images").is_dir() else base
    if train is None:
        train, val = _usual_folders(images, base) or (images, None)
    if val is None or val.samefile(train):
        return Folders(train, None, train, f"{yaml}: YOLO, all images from {train}")
    if val.resolve() in train.resolve().parents or train.resolve() in val.resolve().parents:
        raise UserError(f"{yaml}: train and val lie in each other; put them into two folders")
    return Folders(train, val, train, f"{yaml}: YOLO, train from {train}, val from {val}")


def _usual_folders(images: Path, base: Path) -> tuple[Path, Path] | None:
    for val in ("val", "valid"):
        for root in (images, base):
            if (root / "train").is_dir() and (root / val).is_dir():
                return root / "train", root / val
    return None


def labelme_folders(folder: Path, files: Sequence[Path]) -> Folders | None:
    """The folders of sheets among ``files``; None where there are no sheets.

    Where the sheets lie in folders of train and val, these are the split. Where they name images elsewhere,
    the source is the folder above both.
    """
    firsts = {path.parent: path for path in reversed(files)}
    sheets = [path for path in sorted(firsts.values())[:MOST_FOLDERS] if is_sheet(path)]
    if not sheets:
        return None
    by_role: dict[Role | None, list[Path]] = {}
    for path in sheets:
        by_role.setdefault(role_of_folder(path.parent, folder), []).append(path)
    if "val" in by_role and len(by_role) > 1:
        val = _source(by_role.pop("val"))
        by_role.pop("test", None)
        train = _source([path for group in by_role.values() for path in group])
        if train != val and train not in val.parents and val not in train.parents:
            return Folders(train, val, train, f"LabelMe sheets, train from {train}, val from {val}")
    source = _source(sheets)
    return Folders(source, None, source, f"{source}: LabelMe sheets")


def _source(sheets: Sequence[Path]) -> Path:
    """The folder above sheets and images."""
    folders = {path.parent for path in sheets}
    for path in sheets:
        name = json.loads(path.read_bytes())["imagePath"]
        image = Path(os.path.normpath(path.parent / str(name).replace("\\", "/")))
        if image.is_file():
            folders.add(image.parent)
    return Path(os.path.commonpath(folders))


def is_sheet(path: Path) -> bool:
    """Whether a JSON is a LabelMe sheet: small, with shapes."""
    if path.stat().st_size > 50_000_000:
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content

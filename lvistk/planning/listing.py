"""The files below a folder of data, and its pool of unlabelled images."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lvistk.artifacts import MANIFEST, read_manifest
from lvistk.data.pool.open_images import IMAGE_NAME
from lvistk.folders import walk

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"))
CONVERTED = "lvistk-data"
"""The folder that ``init`` writes converted annotations into; data that it reads lie elsewhere."""
OTHER_SUFFIXES = frozenset((".json", ".yaml", ".yml", ".csv"))
POOL_IMAGES = 10
"""So many images with names as in Open Images are a pool."""


@dataclass(frozen=True)
class Pool:
    """A folder of unlabelled images, and the table that lists them, if there is one."""

    folder: Path
    table: Path | None


@dataclass(frozen=True)
class Listing:
    """Files below a folder; hidden folders, stage folders and ``CONVERTED`` left out.

    missing: links to files that are not there, images aside.
    """

    json: list[Path]
    yaml: list[Path]
    csv: list[Path]
    image_folders: Counter[Path]
    pool_folders: Counter[Path]
    missing: list[Path]


def listing_of(folder: Path) -> Listing:
    """All files below ``folder`` that matter."""
    listing = Listing([], [], [], Counter(), Counter(), [])
    for here, files in walk(folder, enters=_is_data):
        for name in sorted(files):
            lower = name.lower()
            lower = lower.removesuffix(".gz") if lower.endswith(".json.gz") else lower
            suffix = os.path.splitext(lower)[1]  # noqa: PTH122  # 100,000 names
            if suffix in IMAGE_SUFFIXES:
                is_pool = IMAGE_NAME.fullmatch(name)
                (listing.pool_folders if is_pool else listing.image_folders)[here] += 1
            elif suffix not in OTHER_SUFFIXES or name == MANIFEST:
                continue
            elif not (here / name).is_file():
                listing.missing.append(here / name)
            elif suffix == ".json":
                listing.json.append(here / name)
            elif suffix in (".yaml", ".yml"):
                listing.yaml.append(here / name)
            else:
                listing.csv.append(here / name)
    if not listing.image_folders:  # names alone make no pool
        listing.image_folders.update(listing.pool_folders)
        listing.pool_folders.clear()
    return listing


def _is_data(folder: Path) -> bool:
    """Whether a folder is neither hidden nor of ``init`` or a stage; drawn data have a manifest too."""
    if folder.name.startswith(".") or folder.name == CONVERTED:
        return False
    return not (folder / MANIFEST).is_file() or read_manifest(folder)["command"] == "generate"


def pool_of(listing: Listing) -> Pool | None:
    """The unlabelled images with names as in Open Images; None where there are hardly any."""
    if sum(listing.pool_folders.values()) < POOL_IMAGES:
        return None
    common = Path(os.path.commonpath(listing.pool_folders))
    lists = [path for path in listing.csv if _lists_images(path)]
    beside = [path for path in lists if path.parent in (common, common.parent)]
    return Pool(common, beside[0] if beside else None)


def _lists_images(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as handle:
        return "ImageID" in handle.readline(1000).split(",")

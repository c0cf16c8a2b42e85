"""`lvistk generate`: the whole dataset on disk, each image drawn from its own seed by any process.

OUT/annotations/train.json, val.json                      what annotators noted
OUT/annotations/train_full_truth.json                     also what they left out
OUT/annotations/openimages_full_truth.json                the pool's ground truth, in upright images
OUT/train2017/000000000001.jpg, OUT/val2017/...
OUT/openimages/train_0 ... train_f/<16 hex>.jpg, train-images-with-rotation.csv
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvistk import console
from lvistk.artifacts import Rules, StageFolder, Wanted
from lvistk.data.synthetic.catalogue import kinds
from lvistk.data.synthetic.plan import SPLITS, Popularity, Split, plan_image
from lvistk.data.synthetic.records import (
    INFO,
    LICENSES,
    ImageRecords,
    Record,
    category_ids,
    category_records,
    image_record,
    image_records,
)
from lvistk.data.synthetic.scene import Style, draw
from lvistk.data.synthetic.settings import (
    COMPLETE,
    MAX_OTHER_IMAGES,
    MAX_TRAIN_IMAGES,
    GenerateSettings,
)
from lvistk.whole_file import whole_file

FIRST_ID = {
    "train": 1,
    "val": 1 + MAX_TRAIN_IMAGES,
    "pool": 1 + MAX_TRAIN_IMAGES + MAX_OTHER_IMAGES,
}
CHUNK = 16  # images that a process draws at a time
LANDSCAPE = 0.7  # share of the images, about as COCO
ROTATIONS = ("0.0", "", "90.0", "180.0", "270.0")  # degrees counter-clockwise to be upright
ROTATION_SHARES = (0.8, 0.1, 0.04, 0.03, 0.03)  # more turned ones than Open Images' 2.6%
CSV_COLUMNS: tuple[str, ...] = (
    "ImageID",
    "Subset",
    "OriginalURL",
    "OriginalLandingURL",
    "License",
    "AuthorProfileURL",
    "Author",
    "Title",
    "OriginalSize",
    "OriginalMD5",
    "Thumbnail300KURL",
    "Rotation",
)
CSV_NAME = "train-images-with-rotation.csv"


@dataclass(frozen=True)
class Image:
    """A written image: its LVIS records, and its row of the image list if it is of the pool."""

    records: ImageRecords
    listed: dict[str, str] = field(default_factory=dict)


def generate(out: Path, *, settings: GenerateSettings, force: bool = False) -> StageFolder:
    """Write a generated dataset into the folder `out`.

    The same settings give the same bytes; image i of a split depends on the settings but on no
    number of images. A finished folder of the same settings is left alone (its `state` is 'done'),
    an unfinished one is drawn again, one of other settings is refused unless `force`.

    Raises:
        UserError: `out` holds something else, or the disk is full.
    """
    wanted = {key: value for key, value in asdict(settings).items() if key != "workers"}
    rules = Rules(older=lambda table: {**_joined(wanted), **table})
    stage = StageFolder.open(out, Wanted("generate", wanted, inputs={}, rules=rules), force=force)
    if stage.state == "done":
        return stage
    counts = (settings.images, settings.val_images, settings.pool_images)
    images = {
        split: _draw_split(out, settings, split=split, count=count)
        for split, count in zip(SPLITS, counts, strict=True)
    }
    train = [row for image in images["train"] for row in image.records.annotations]
    categories = category_records(kinds(settings.categories, settings.mix), train)
    outputs = {
        "annotations/train.json": (images["train"], False),
        "annotations/val.json": (images["val"], False),
        f"annotations/train{COMPLETE}.json": (images["train"], True),
        f"annotations/openimages{COMPLETE}.json": (images["pool"], True),
    }
    for name, (rows, full) in outputs.items():
        _write_annotations(out / name, rows, categories=categories, full=full)
    _write_list(out / "openimages" / CSV_NAME, images["pool"])
    names = [*outputs, f"openimages/{CSV_NAME}"]
    stage.finish(outputs=names, summary=_summary(images["train"], categories))
    return stage


def _joined(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of settings that folders of earlier releases lack."""
    defaults = asdict(GenerateSettings())
    return {name: defaults[name] for name in wanted}


def _draw_split(out: Path, settings: GenerateSettings, *, split: Split, count: int) -> list[Image]:
    """Draw and write the images of one split; the order of the result is that of their numbers."""
    draw_one = partial(draw_image, out, settings, split)
    for folder in _folders(split):
        (out / folder).mkdir(parents=True, exist_ok=True)
    images = []
    with console.progress(f"draw {split}", count) as line, _mapping(settings.workers) as mapping:
        for image in mapping(draw_one, range(count)):
            images.append(image)
            line.advance()
    return images


@contextlib.contextmanager
def _mapping(workers: int) -> Iterator:
    """A `map` over processes, or the plain one."""
    if workers == 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_one_thread) as pool:
        yield partial(pool.map, chunksize=CHUNK)


def _one_thread() -> None:
    cv2.setNumThreads(1)


@lru_cache(maxsize=4)
def _popularity(settings: GenerateSettings, split: Split) -> Popularity:
    return Popularity(settings, split)


def draw_image(out: Path, settings: GenerateSettings, split: Split, index: int) -> Image:
    """Plan, draw and write image `index` (from 0) of a split below `out`."""
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), index])
    complete = split == "val" and settings.val_complete
    share = 0.0 if complete else settings.unannotated_share
    wanted = plan_image(_popularity(settings, split), index, split=split, share=share, rng=rng)
    height, width = image_size(settings, rng)
    drawn_kinds = kinds(settings.categories, settings.mix)
    style = Style(
        min_extent=settings.min_extent,
        max_extent=settings.max_extent,
        min_stroke=settings.min_stroke,
        constancy=settings.constancy,
    )
    pixels, drawn = draw(wanted, drawn_kinds, size=(height, width), rng=rng, style=style)
    image_id = FIRST_ID[split] + index
    name = f"{image_id:012d}"
    rotation = ""
    if split == "pool":
        name = hashlib.blake2b(f"{settings.seed}/{index}".encode(), digest_size=8).hexdigest()
        rotation = str(rng.choice(ROTATIONS, p=ROTATION_SHARES))
        pixels = np.rot90(pixels, -round(float(rotation or 0)) // 90)
    folder = f"train_{name[0]}" if split == "pool" else f"{split}2017"
    data = _jpeg(pixels, settings.jpeg_quality)
    folder_path = out / "openimages" / folder if split == "pool" else out / folder
    (folder_path / f"{name}.jpg").write_bytes(data)
    negative = settings.val_negative_share if split == "val" else settings.negative_share
    negative = 1.0 if complete else negative
    image = image_record(image_id, f"{folder}/{name}.jpg", height=height, width=width)
    ids = category_ids(drawn_kinds)
    records = image_records(drawn, ids, image=image, negative_share=negative, rng=rng)
    return Image(records, _listed(name, data, rotation) if split == "pool" else {})


def image_size(settings: GenerateSettings, rng: np.random.Generator) -> tuple[int, int]:
    """Height and width of an image: four to three, three to two, or anything up to a square."""
    long = settings.long_side
    short = round(long * float(rng.choice([0.667, 0.75, 0.75, rng.uniform(0.66, 1.0)])))
    short = max(short, round(long * settings.min_aspect))
    return (short, long) if rng.random() < LANDSCAPE else (long, short)


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """RGB pixels as JPEG."""
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _folders(split: Split) -> list[str]:
    if split == "pool":
        return [f"openimages/train_{digit:x}" for digit in range(16)]
    return [f"{split}2017"]


def _listed(name: str, data: bytes, rotation: str) -> dict[str, str]:
    """An image's row of the Open Images list; the title has a comma, as real ones have."""
    host = "https://lvistk.invalid"
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    values = (
        name,
        "train",
        f"{host}/{name}.jpg",
        f"{host}/photos/{name}",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        f"{host}/people/lvistk",
        "lvistk",
        f"Generated photo, {name[:4]}",
        str(len(data)),
        md5,
        f"{host}/{name}_z.jpg",
        rotation,
    )
    return dict(zip(CSV_COLUMNS, values, strict=True))


def _write_annotations(
    path: Path, images: list[Image], *, categories: list[Record], full: bool
) -> None:
    """An LVIS v1 file of images, with or without what annotators left out."""
    records = [image.records for image in images]
    data = {
        "info": INFO,
        "licenses": LICENSES,
        "images": [row.true_image if full else row.image for row in records],
        "annotations": list(
            chain.from_iterable(
                row.true_annotations if full else row.annotations for row in records
            )
        ),
        "categories": categories,
    }
    with whole_file(path) as temporary, temporary.open("w") as handle:
        handle.write(json.dumps(data, separators=(",", ":")))


def _write_list(path: Path, pool: list[Image]) -> None:
    """The image list of the pool, ordered by name."""
    with whole_file(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted((image.listed for image in pool), key=lambda row: row["ImageID"]))


def _summary(train: list[Image], categories: list[Record]) -> Record:
    """What a person wants to know of the train split: sizes, groups, and what is left out."""
    every = [row for image in train for row in image.records.true_annotations]
    groups = [row["frequency"] for row in categories]
    thin = sum(row["area"] < 0.25 * row["bbox"][2] * row["bbox"][3] for row in every)
    return {
        "images": len(train),
        "instances": len(every),
        "unannotated_share": sum(not row["annotated"] for row in every) / max(len(every), 1),
        "thin_share": thin / max(len(every), 1),
        "rare": groups.count("r"),
        "common": groups.count("c"),
        "frequent": groups.count("f"),
    }

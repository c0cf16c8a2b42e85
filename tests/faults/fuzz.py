"""Hand each reader thousands of mutated inputs.

NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=FOLDER/kernels python -m tests.faults.fuzz READER FOLDER --count 10000

Read: the reader took the input, and what came of it makes sense. Refused: one line. Anything else is lost:
several lines, another exception, a contradiction. The last input lies in FOLDER when the process dies.
"""

import argparse
import contextlib
import json
import os
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from lvistk import console
from lvistk.data.images.decode import read_image
from lvistk.data.index.annotation_chunk import parse_masks
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.index.index_build import build_index
from lvistk.errors import UserError
from lvistk.evaluation.evaluate import Results, evaluate
from lvistk.masks import polygons as polygon_rows
from lvistk.masks import rle
from lvistk.masks.clipping import clip_polygons
from lvistk.masks.polygons import Polygons
from lvistk.masks.union_area import union_areas
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.evaluation.random_worlds import random_world
from tests.evaluation.worlds import FAST, write
from tests.faults.mutations import mutated_bytes, mutated_value
from tests.importing.pickle_fuzz import mutated, random_pickle, sound_files

PIPELINES = Path(__file__).parents[2] / "lvistk" / "pipelines"
MOST_CHARACTERS = 600
"""Of an error; longer ones do not fit a terminal."""
Reader = Callable[[random.Random], None]
"""Makes an input from the generator and reads it. Raises ``UserError`` where it is refused."""


@dataclass
class Figures:
    read: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)


def results_reader(folder: Path) -> Reader:
    """Detections of a small ground truth, as masks and as boxes."""
    gt, file = write(folder, *random_world(3, images=4, side=30, boxes="both"))
    sound = json.loads(file.read_text())
    text = json.dumps(sound).encode()
    changed = folder / "changed.json"

    def read(rng: random.Random) -> None:
        by_value = rng.random() < 0.5
        changed.write_bytes(mutated_value(rng, sound) if by_value else mutated_bytes(rng, text))
        evaluate(gt, Results(changed), FAST)

    return read


def gt_reader(folder: Path) -> Reader:
    """Ground truth, for the evaluation and for training."""
    file, results = write(folder, *random_world(5, images=4, side=30, boxes="both"))
    sound = json.loads(file.read_text())
    text = json.dumps(sound).encode()
    changed, index = folder / "changed.json", folder / "index"

    def read(rng: random.Random) -> None:
        by_value = rng.random() < 0.5
        changed.write_bytes(mutated_value(rng, sound) if by_value else mutated_bytes(rng, text))
        errors = []
        for use in (
            lambda: evaluate(changed, Results(results), FAST),
            lambda: _index(changed, index),
        ):
            try:
                use()
            except UserError as error:
                errors.append(error)
        if errors:
            raise next((e for e in errors if "\n" in str(e)), errors[0])

    return read


def _index(path: Path, folder: Path) -> None:
    build_index([path], folder)
    index = AnnotationIndex(folder, [path])
    for i in range(len(index)):
        index.annotations(i), index.negative_labels(i), index.file_name(i)
    index.area_ratios()


def rle_reader(folder: Path) -> Reader:
    """Compressed counts: whole masks, then with bytes changed; and runs as lists."""
    del folder

    def read(rng: random.Random) -> None:
        size = rng.choice(((1, 1), (7, 5), (30, 40), (0, 3), (2000, 3)))
        draw = np.random.default_rng(rng.getrandbits(32))
        sound = rle.encode((draw.random(size) < rng.random()).astype(np.uint8))
        counts = sound if rng.random() < 0.3 else mutated_bytes(rng, sound)
        other = rng.choice((size, size, size, (3, 3), (46341, 46341)))
        try:
            whole = rle.extents([counts, sound] if other == size else [counts], other)
            runs = rle.runs(counts)
            assert int(runs.sum()) == other[0] * other[1], "runs do not fill the size"
            assert whole.areas[0] == int(runs[1::2].sum()), "area"
            if other[0] * other[1] < 10**6:
                assert whole.areas[0] == int(rle.decode(counts, other).sum()), "area of pixels"
            rle.from_runs([*runs.tolist(), rng.choice((0, 0, -1, 5))], other)
        except ValueError as error:
            raise UserError(str(error)) from None

    return read


STRANGE_NUMBERS = (0.0, -0.0, 1e-300, 1e7, -1e7, 1e300, -1e300, 2.0**31, 2.0**63, np.nan, np.inf)


def polygon_reader(folder: Path) -> Reader:
    """Polygons as numbers, through every kernel that takes them, and as mutated JSON."""
    del folder

    def read(rng: random.Random) -> None:
        try:
            _numbers(rng) if rng.random() < 0.5 else _text(rng)
        except ValueError as error:
            raise UserError(str(error)) from None

    return read


def _numbers(rng: random.Random) -> None:
    size = rng.choice(((1, 1), (30, 40), (400, 3)))
    parts = []
    for _ in range(rng.randint(0, 3)):
        points = np.array([rng.uniform(-9, 50) for _ in range(2 * rng.randint(3, 9))])
        if rng.random() < 0.3:
            points[rng.randrange(len(points))] = rng.choice(STRANGE_NUMBERS)
        if rng.random() < 0.3:
            points = np.round(points)
        parts.append(points)
    counts = rle.from_polygons(parts, size)
    (area,) = rle.areas([counts], size)
    assert 0 <= area <= size[0] * size[1], "area"
    rows = Polygons.from_lists([parts, []])
    if all(np.isfinite(part).all() for part in parts):
        union_areas(rows), polygon_rows.instance_areas(rows), polygon_rows.tight_boxes(rows)
        clip_polygons(rows, (0.0, 0.0, 20.0, 15.0))


def _text(rng: random.Random) -> None:
    sound = [[1, 2.5, 30.25, 4, 5e0, 26], [0, 0, 9.75, 0, 9.75, 9]]
    by_value = rng.random() < 0.5
    data = mutated_value(rng, sound) if by_value else mutated_bytes(rng, json.dumps(sound).encode())
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UserError("no JSON") from None
    masks = parse_masks([msgspec.Raw(data), msgspec.Raw(b"[[0,0,5,0,5,5]]")])
    assert masks.polygons.parts(1)[0].tolist() == [[0, 0], [5, 0], [5, 5]], "the next record"
    if 0 in masks.errors:
        raise UserError(masks.errors[0][1])


def pickle_reader(folder: Path) -> Reader:
    from lvistk.importing.checkpoint_file import read_checkpoint_file

    sound, path = sound_files(folder), folder / "changed.pth"

    def read(rng: random.Random) -> None:
        random_one = rng.random() < 0.5
        path.write_bytes(random_pickle(rng) if random_one else mutated(rng, rng.choice(sound)))
        for tensor in read_checkpoint_file(path).tensors.values():
            tensor[:4].double().sum() if tensor.dim() else tensor.item()

    return read


def toml_reader(folder: Path) -> Reader:
    """The shipped pipelines."""
    texts = [path.read_bytes() for path in sorted(PIPELINES.glob("*.toml"))]
    path = folder / "changed.toml"

    def read(rng: random.Random) -> None:
        path.write_bytes(mutated_bytes(rng, rng.choice(texts)))
        load_pipeline(path)

    return read


def image_reader(folder: Path) -> Reader:
    draw = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(draw.integers(0, 255, (37, 50, 3), np.uint8), (9, 9), 3)
    sound = [
        cv2.imencode(suffix, pixels)[1].tobytes()
        for suffix in (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")
        if cv2.haveImageWriter(f"a{suffix}")
    ]
    path = folder / "changed.jpg"

    def read(rng: random.Random) -> None:
        path.write_bytes(mutated_bytes(rng, rng.choice(sound)))
        size = rng.choice((None, None, (37, 50)))
        image = read_image(path, size=size, reduce=rng.choice((1, 2, 8)), max_pixels=4_000_000)
        assert image.ndim == 3 and image.dtype == np.uint8, image.shape

    return read


READERS: dict[str, Callable[[Path], Reader]] = {
    "results": results_reader,
    "ground-truth": gt_reader,
    "rle": rle_reader,
    "polygons": polygon_reader,
    "pickles": pickle_reader,
    "toml": toml_reader,
    "images": image_reader,
}


def fuzz(name: str, folder: Path, *, count: int, seed: int) -> Figures:
    """``count`` inputs for a reader; each is made from the seed and its number alone."""
    folder.mkdir(parents=True, exist_ok=True)
    read, figures = READERS[name](folder), Figures()
    for number in range(count):
        try:
            with _quiet():
                read(random.Random(f"{seed} {number}"))
            figures.read += 1
        except UserError as error:
            text = console.plain(str(error))  # as commands print it
            if "\n" in text or len(text) > MOST_CHARACTERS or not text.isprintable():
                figures.lost.append(f"input {number}: not one line: {text[:200]!r}")
            else:
                figures.refused += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            file = Path(where.filename).name
            figures.lost.append(f"input {number}: {error!r:.150} at {file}:{where.lineno}")
    return figures


@contextlib.contextmanager
def _quiet() -> Any:
    """Warnings and what C libraries print go nowhere."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=list(READERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    found = fuzz(given.reader, given.folder, count=given.count, seed=given.seed)
    for line in found.lost:
        print(f"lost: {line}")
    print(f"{given.reader}: read {found.read} refused {found.refused} lost {len(found.lost)}")


if __name__ == "__main__":
    main()

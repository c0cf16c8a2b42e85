"""The inputs of an evaluation: what a results file or store has, and what of it is evaluated."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lvistk.config.evaluation import EvaluateSettings
from lvistk.data.store.detection_store import DetectionStore, is_detection_store
from lvistk.errors import UserError
from lvistk.evaluation.blocks import HAS_BOX, NO_MASK
from lvistk.evaluation.results_json import read_blocks
from lvistk.json_input.text import json_text


class Shape(NamedTuple):
    """What the first detection of a file has: it decides for all (lvis-api)."""

    boxes: bool
    masks: bool


NOTHING = Shape(boxes=True, masks=True)
"""An empty list of results is evaluated for masks and boxes: all scores are 0, where lvis-api crashes."""


class Source(NamedTuple):
    """One input file or store, what it has, and what of it is evaluated."""

    path: Path
    store: bool
    shape: Shape
    masks: bool
    boxes: bool


def find_sources(main: Path, boxes: Path | None, kinds: Sequence[str]) -> list[Source]:
    """The inputs and what is to be evaluated of each, at most ``kinds`` (``segm``, ``bbox``).

    ``boxes`` is where the boxes are, if they are in a file of their own. Raises ``UserError`` for inputs
    that are missing, broken at their beginning, or have nothing of ``kinds``.
    """
    if not kinds or set(kinds) - {"segm", "bbox"}:
        raise UserError(f"evaluate.kinds {list(kinds)}: give segm, bbox or both")
    first = _source(main, kinds)
    if boxes is None:
        if not first.masks and not first.boxes:
            raise UserError(f"{first.path}: has no masks, and evaluate.kinds asks for nothing else")
        return [first]
    second = _source(boxes, kinds)
    if not first.shape.masks:
        raise UserError(f"{first.path}: has no masks; with --boxes it should")
    sources = [first._replace(boxes=False), second._replace(masks=False)]
    return [source for source in sources if source.masks or source.boxes]


def _source(path: Path, kinds: Sequence[str]) -> Source:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    store = is_detection_store(path)
    if path.is_dir() and not store:
        raise UserError(f"{path}: a folder without detections; give results JSON or a store")
    shape = _store_shape(path) if store else _shape_of(path)
    return Source(path, store, shape, shape.masks and "segm" in kinds, "bbox" in kinds)


def _store_shape(path: Path) -> Shape:
    """A store always has boxes; it has masks if all its files have that hold detections."""
    filled = [s for s in DetectionStore.open(path).shards if s.layout["score"][1][0]]
    masked = [shard for shard in filled if "rle" in shard.layout]
    if masked and len(masked) < len(filled):
        bare = next(shard for shard in filled if "rle" not in shard.layout)
        raise UserError(f"{bare.path}: has no masks, but other files of the store have")
    return Shape(True, bool(masked) or not filled)


def _shape_of(path: Path) -> Shape:
    first = read_blocks(
        json_text(path),
        lambda block: (block.has.tolist(), block.mask_kinds.tolist()),
        list,
        threads=1,
        masks=True,
        image_of=lambda text: 0,
        first_only=True,
    )
    has, kinds = first[0]
    if not has:
        return NOTHING
    shape = Shape(bool(has[0] & HAS_BOX), kinds[0] != NO_MASK)
    if not any(shape):
        raise UserError(f"{path}: the first detection has neither bbox nor segmentation")
    return shape


def mask_area(source: Source, settings: EvaluateSettings) -> str:
    """Which area a mask is judged by: ``mask`` or ``box``."""
    if settings.area != "official":
        return settings.area
    return "box" if source.shape.boxes and not source.store else "mask"


def box_area(source: Source, settings: EvaluateSettings) -> str:
    """Which area a box is judged by; results with masks only have the mask's, as in lvis-api."""
    return "box" if source.shape.boxes or settings.area == "box" else "mask"


def areas_of(sources: Sequence[Source], settings: EvaluateSettings) -> dict[str, str]:
    """Which area small, medium and large go by, of masks and of boxes."""
    areas: dict[str, str] = {}
    for source in sources:
        if source.masks:
            areas["segm"] = mask_area(source, settings)
        if source.boxes:
            areas["bbox"] = box_area(source, settings)
    return areas

"""What the plain engine evaluates: ground truth instances and detections as objects, by the
fast engine's rules."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lvistk.config.evaluation import EvaluateSettings
from lvistk.data.store.detection_store import DetectionStore
from lvistk.errors import UserError
from lvistk.evaluation import blocks as form
from lvistk.evaluation.blocks import Block
from lvistk.evaluation.complaints import COMPLAINTS, bad_detection, unknown_image
from lvistk.evaluation.ground_truth.annotations import no_text
from lvistk.evaluation.ground_truth.head import (
    Category,
    Image,
    bad_mask,
    frequency_of,
    gt_warnings,
    known_rows,
    read_head,
    require_sizes,
    require_unique,
)
from lvistk.evaluation.image_names import ImageNames
from lvistk.evaluation.left_out import LeftOut, warnings_of
from lvistk.evaluation.ranges import AREA_RANGES, Ranges
from lvistk.evaluation.results_json.json_array import JsonArray, results_array
from lvistk.evaluation.results_json.json_general import Reading, parse_array
from lvistk.evaluation.results_json.records import RECORD, Records, block_of
from lvistk.evaluation.sources import Source, box_area, mask_area
from lvistk.json_input.text import json_text
from lvistk.masks.codes import BAD_COUNTS, BAD_POLYGON, OK
from tests.reference.evaluation_records import (
    box_of,
    coco_mask,
    complaint_of,
    mask_of_record,
)


class Thing(NamedTuple):
    """A ground truth instance or a detection: ids, box x, y, width, height, RLE (None without
    masks), the area that it
    is judged by, score, whether the file says ignore, and its place in the file."""

    image: int
    category: int
    box: list[float]
    rle: dict[str, Any] | None
    area: float
    score: float
    ignore: bool
    id: int

    def out(self, ranges: Ranges) -> np.ndarray:
        """(R,) bool: outside of each range."""
        found = [self.area < low or self.area > high for low, high in AREA_RANGES]
        ends = ranges.ratio_ends
        if self.rle is None:
            return np.array(found + [False] * (len(ends) - 1))
        side = coco_mask.toBbox(self.rle)
        ratio = float(coco_mask.area(self.rle)) / max(side[2] * side[3], 1)
        for k in range(len(ends) - 1):
            last = k == len(ends) - 2
            found.append(ratio < ends[k] or (ratio >= ends[k + 1] and not last))
        return np.array(found)


class World(NamedTuple):
    """The ground truth file's content, by id; categories and their ``frequency (C,)`` by ascending id."""

    path: Path
    images: dict[int, Image]
    gts: dict[tuple[int, int], list[Thing]]
    categories: list[Category]
    frequency: np.ndarray
    warnings: tuple[str, ...]

    def judges(self, image: int, category: int) -> bool:
        """Whether detections of the category in the image say anything (federated annotation)."""
        return (image, category) in self.gts or category in (
            self.images[image].neg_category_ids or ()
        )


def read_world(path: Path, *, masks: bool) -> World:
    """The annotation file; ``masks`` False leaves the masks out. Raises ``UserError`` as the fast engine."""
    head = read_head(path)
    if masks:
        require_sizes(head)
    first, last = (head.text.first + offset for offset in head.annotations)
    reading = Reading(masks=masks, annotations=True, image_of=no_text)
    parsed = parse_array(JsonArray(head.text, first, last), reading)
    records, dropped = _as_rows(parsed.records), parsed.dropped
    block = block_of(*parsed, count=len(records), annotations=True)
    computed, boxless = (records["has"] & bit == 0 for bit in (form.HAS_AREA, form.HAS_BOX))
    if boxless.any() and not masks:
        return read_world(path, masks=True)
    ids = [np.array([one.id for one in some], np.int64) for some in (head.images, head.categories)]
    known_rows(block, path, *ids)
    images = {image.id: image for image in head.images}
    gts: dict[tuple[int, int], list[Thing]] = defaultdict(list)
    for row, record in enumerate(records):
        image_id, category_id = record["image_id"].item(), record["category_id"].item()
        rle = _gt_rle(block, row, record, images[image_id], path) if masks else None
        box = coco_mask.toBbox(rle).tolist() if boxless[row] and rle else box_of(record)
        if computed[row]:
            record["area"] = coco_mask.area(rle) if rle else box[2] * box[3]
        area = record["area"].item()
        if not 0 < area < np.inf:
            continue
        gts[image_id, category_id].append(
            Thing(
                image_id,
                category_id,
                box,
                rle,
                area,
                score=0.0,
                ignore=bool(record["ignore"]),
                id=record["id"].item(),
            )
        )
    require_unique(np.sort(records["id"]), path=path, what="annotation")
    frequency = [frequency_of(category, path) for category in head.categories]
    warnings = gt_warnings(
        head,
        ids=records["id"],
        areas=records["area"],
        computed=int(computed.sum()),
        boxless=int(boxless.sum()),
        dropped=int(dropped.sum()),
    )
    return World(path, images, dict(gts), head.categories, np.array(frequency, "<U1"), warnings)


def _gt_rle(block: Block, row: int, record: np.void, image: Image, path: Path) -> dict[str, Any]:
    height, width = image.height, image.width
    if record["mask_kind"] == form.NO_MASK:
        raise bad_mask(block, row, BAD_POLYGON, path)
    rle, code = mask_of_record(block.text, record, block.numbers, height=height, width=width)
    if code == OK and rle["size"] != [height, width]:
        code = BAD_COUNTS
    if code != OK:
        raise bad_mask(block, row, code, path)
    return rle


class _Part(NamedTuple):
    """Detections of one file: records, their masks, and what masks are ranked by, (N,)."""

    path: Path
    text: np.ndarray
    records: np.ndarray
    numbers: np.ndarray
    mask_scores: np.ndarray
    dropped: int = 0


def read_things(
    source: Source, world: World, settings: EvaluateSettings
) -> tuple[dict[str, list[Thing]], list[str]]:
    """Detections of the source by kind (``segm``, ``bbox``), and warnings.

    Those that are not judged have no area. Raises ``UserError`` as the fast engine.
    """
    kinds = [k for k, wanted in (("segm", source.masks), ("bbox", source.boxes)) if wanted]
    found: dict[str, list[Thing]] = {kind: [] for kind in kinds}
    known = {category.id for category in world.categories}
    counts: Counter[str] = Counter()
    image_of = ImageNames(world.path, refuse=settings.unknown_images == "refuse")
    for part in _parts(source, image_of):
        counts["dropped"] += part.dropped
        for place, record in enumerate(part.records):
            code = complaint_of(record, boxed=source.shape.boxes)
            if code != OK:
                raise _bad(part, place, COMPLAINTS[code])
            image_id, category_id = record["image_id"].item(), record["category_id"].item()
            counts["categories"] += category_id not in known
            counts["images"] += image_id not in world.images
            if image_id not in world.images and settings.unknown_images == "refuse":
                raise _bad(part, place, unknown_image(image_id, min(world.images)))
            things = _unjudged(record, part.mask_scores[place])
            if image_id in world.images and world.judges(image_id, category_id):
                things, foreign = _judged(
                    things, part, place, source=source, world=world, settings=settings
                )
                counts["foreign"] += foreign
            for kind in kinds:
                found[kind].append(things[kind]._replace(id=len(found[kind])))
    ids = np.array([(t.image, t.category) for t in found[kinds[0]]], np.int64).reshape(-1, 2)
    ends = ids if len(ids) else np.array([(2**63 - 1, 2**63 - 1)])
    left_out = LeftOut(
        counts["categories"],
        counts["images"],
        counts["foreign"],
        counts["dropped"],
        tuple(ends.min(0).tolist()),
        tuple(ends.max(0).tolist()),
    )
    warnings = warnings_of(
        source.path.name,
        left_out,
        image_ids=np.array(sorted(world.images), np.int64),
        category_ids=np.array([category.id for category in world.categories], np.int64),
    )
    return found, warnings


def _bad(part: _Part, row: int, complaint: str) -> UserError:
    record = part.records[row]
    return bad_detection(
        part.path,
        row,
        has=record["has"],
        image_id=record["image_id"],
        category_id=record["category_id"],
        complaint=complaint,
    )


def _unjudged(record: np.void, mask_score: float) -> dict[str, Thing]:
    one = Thing(
        record["image_id"].item(),
        record["category_id"].item(),
        box_of(record),
        rle=None,
        area=0.0,
        score=record["score"].item(),
        ignore=False,
        id=0,
    )
    return {"segm": one._replace(score=float(mask_score)), "bbox": one}


def _judged(
    things: dict[str, Thing],
    part: _Part,
    place: int,
    *,
    source: Source,
    world: World,
    settings: EvaluateSettings,
) -> tuple[dict[str, Thing], bool]:
    """The things with mask and area, and whether the mask has another size than its image."""
    record = part.records[place]
    image = world.images[record["image_id"].item()]
    rle, foreign = None, False
    if source.masks or not source.shape.boxes:
        height, width = image.height, image.width
        rle, code = mask_of_record(part.text, record, part.numbers, height=height, width=width)
        if code != OK:
            raise _bad(part, place, COMPLAINTS[code])
        foreign = source.masks and rle["size"] != [height, width]
    boxless = rle is not None and not record["has"] & form.HAS_BOX
    box = coco_mask.toBbox(rle).tolist() if boxless else box_of(record)
    areas = {"box": box[2] * box[3], "mask": float(coco_mask.area(rle)) if rle else 0.0}
    judged_by = {"segm": mask_area(source, settings), "bbox": box_area(source, settings)}
    return {
        kind: thing._replace(box=box, rle=rle, area=areas[judged_by[kind]])
        for kind, thing in things.items()
    }, foreign


def _parts(source: Source, image_of: ImageNames) -> Iterator[_Part]:
    if not source.store:
        masks = source.masks or not source.shape.boxes
        reading = Reading(masks=masks, annotations=False, image_of=image_of)
        parsed = parse_array(results_array(json_text(source.path)), reading)
        text, columns, numbers, dropped = parsed
        records = _as_rows(columns)
        yield _Part(source.path, text, records, numbers, records["score"], int(dropped.sum()))
        return
    for shard in DetectionStore.open(source.path).shards:
        yield _shard_part(shard.path)


def _as_rows(columns: Records) -> np.ndarray:
    """Columns as (R,) RECORD: here a record is looked at as one."""
    rows = np.zeros(len(columns.has), RECORD)
    for name, of in _COLUMN_OF.items():
        rows[name] = getattr(columns, of)
    for k, name in enumerate(("x", "y", "width", "height")):
        rows[name] = columns.boxes[:, k]
    return rows


_COLUMN_OF = {
    "has": "has",
    "image_id": "image_ids",
    "category_id": "category_ids",
    "id": "ids",
    "score": "scores",
    "area": "areas",
    "ignore": "ignored",
    "mask_kind": "mask_kinds",
    "mask_start": "mask_starts",
    "mask_stop": "mask_stops",
    "mask_height": "mask_heights",
    "mask_width": "mask_widths",
}


def _shard_part(path: Path) -> _Part:
    """The detections of one file of a store as records of a results file."""
    store = DetectionStore.open(path)
    rows: list[np.ndarray] = []
    ranked: list[np.ndarray] = []
    text = bytearray()
    for found in store:
        strange = (found.labels < 0) | (found.labels >= len(store.category_ids))
        if strange.any():
            bad = found.labels[strange][0]
            last = len(store.category_ids) - 1
            raise UserError(f"{path}: image {found.image_id}: label {bad} is not in 0..{last}")
        some = np.zeros(len(found), RECORD)
        some["image_id"], some["category_id"] = found.image_id, store.category_ids[found.labels]
        some["score"] = found.scores
        boxes = found.boxes.astype(np.float64)
        some["x"], some["y"] = boxes[:, 0], boxes[:, 1]
        some["width"], some["height"] = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        some["has"] = form.HAS_IMAGE | form.HAS_CATEGORY | form.HAS_SCORE | form.HAS_BOX
        for record, counts in zip(some, found.masks or (), strict=False):
            record["mask_kind"], record["mask_start"] = form.RLE_TEXT, len(text)
            text += counts
            record["mask_stop"] = len(text)
            record["mask_height"], record["mask_width"] = found.size
        rows.append(some)
        better = found.scores if found.mask_scores is None else found.mask_scores
        ranked.append(np.where(np.isnan(better), found.scores, better))
    records = np.concatenate([np.zeros(0, RECORD), *rows])
    scores = np.concatenate([np.zeros(0, np.float32), *ranked])
    return _Part(path, np.frombuffer(bytes(text), np.uint8), records, np.zeros(0), scores)

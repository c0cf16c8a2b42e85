"""The nearest ground truth instances of every judged detection: of its own category, and of any
other in its image.

Scores never ask how far a detection is from ground truth instances of other categories, or how
far below an IoU of 0.5 it
is; an analysis of errors does. So this is a second pass over the detections, for reports only.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from lvistk.data.store.detection_store import DetectionStore
from lvistk.evaluation.columns import NOWHERE
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.measure import Options, category_row, enter_image, find_row
from lvistk.evaluation.pairs import box_iou
from lvistk.evaluation.results_json.json_records import Records, Unsplittable, map_sections
from lvistk.evaluation.results_json.record_mask import mask_of, scratch_for
from lvistk.evaluation.results_json.records import RLE_RUNS, RLE_TEXT
from lvistk.evaluation.results_json.sections import results_array
from lvistk.evaluation.results_store import ShardReader
from lvistk.jit import kernel
from lvistk.masks.codes import OK
from lvistk.masks.spans import overlap

NEAREST = np.dtype(
    [("same", np.int32), ("same_iou", np.float64), ("other", np.int32), ("other_iou", np.float64)]
)
"""The ground truth with the highest IoU among those of the detection's category, and among all others of its
image; NOWHERE and 0 where none overlaps. Ground truth instances that the file ignores do not
count."""


def nearest_gts(
    path: Path, *, store: bool, masks: bool, boxed: bool, gt: GroundTruthArrays, threads: int
) -> np.ndarray:
    """(N,) NEAREST for all detections of a results file or store, in the order of the input.

    ``masks``: by mask IoU, else by box IoU. ``boxed``: the first detection has a box. Detections of pairs
    that are not judged overlap nothing.
    """
    options = Options(
        masks=masks,
        boxes=not masks,
        boundary=False,
        boxed=boxed,
        mask_area_is_box=False,
        box_area_is_box=False,
    )
    work = partial(_nearest_of, gt=gt, options=options)
    if store:
        parts = list(_store_parts(DetectionStore.open(path), work, masks, threads))
    else:
        array = results_array(path)
        try:
            parts = list(map_sections(array, work, threads=threads))
        except Unsplittable:
            parts = list(map_sections(array, work, threads=1, whole=True))
    return np.concatenate([np.zeros(0, NEAREST), *parts])


def _store_parts(
    store: DetectionStore, work: partial[np.ndarray], masks: bool, threads: int
) -> Iterator[np.ndarray]:
    with ThreadPoolExecutor(threads) as pool:
        for shard in store.shards:
            reader = ShardReader(shard, store.category_ids)

            def block(edges: tuple[int, int], reader: ShardReader = reader) -> np.ndarray:
                return work(reader.records(*edges, masks=masks))

            yield from pool.map(block, reader.blocks())


def _nearest_of(found: Records, *, gt: GroundTruthArrays, options: Options) -> np.ndarray:
    return _nearest(found.text, found.records, found.numbers, gt, options)


@kernel
def _nearest(text, records, numbers, gt, options):
    nearest = np.empty(len(records), NEAREST)
    slots = np.full(len(gt.category_ids), NOWHERE, np.int32)
    scratch = scratch_for(records)
    tight, box = scratch.tight, scratch.box
    image = NOWHERE
    image_id = 0
    for k in range(len(records)):
        record = records[k]
        one = nearest[k]
        one["same"], one["other"] = NOWHERE, NOWHERE
        one["same_iou"], one["other_iou"] = 0.0, 0.0
        if k == 0 or record["image_id"] != image_id:
            image_id = record["image_id"]
            entered = find_row(gt.image_ids, image_id)
            enter_image(slots, gt, image, entered)
            image = entered
        category = category_row(gt.category_ids, record["category_id"])
        slot = slots[category] if category >= 0 and image >= 0 else NOWHERE
        if slot < 0:
            continue
        height, width = np.int64(gt.heights[image]), np.int64(gt.widths[image])
        box[0], box[1] = record["x"], record["y"]
        box[2], box[3] = record["width"], record["height"]
        starts, stops, m, area = scratch.starts, scratch.stops, 0, 0
        if options.masks or not options.boxed:
            starts, stops, m, area, code = mask_of(
                text, record, numbers, height, width, options.boxed, scratch
            )
            rle = record["mask_kind"] == RLE_TEXT or record["mask_kind"] == RLE_RUNS
            foreign = rle and (record["mask_height"] != height or record["mask_width"] != width)
            if code != OK or (options.masks and foreign):
                continue
        for s in range(gt.slot_rows[image], gt.slot_rows[image + 1]):
            for g in range(gt.slot_gts[s], gt.slot_gts[s + 1]):
                if gt.ignored[g]:
                    continue
                if options.masks:
                    iou = _mask_iou(starts, stops, m, area, tight, gt, g)
                else:
                    iou = box_iou(box[0], box[1], box[2], box[3], gt.boxes, g)
                if s == slot and iou > one["same_iou"]:
                    one["same"], one["same_iou"] = g, iou
                elif s != slot and iou > one["other_iou"]:
                    one["other"], one["other_iou"] = g, iou
    return nearest


@kernel
def _mask_iou(starts, stops, m, area, tight, gt, g):
    other = gt.mask_boxes[g]
    if min(tight[0] + tight[2], other[0] + other[2]) <= max(tight[0], other[0]):
        return 0.0
    if min(tight[1] + tight[3], other[1] + other[3]) <= max(tight[1], other[1]):
        return 0.0
    a, b = gt.span_rows[g], gt.span_rows[g + 1]
    shared = overlap(starts, stops, 0, m, gt.span_starts, gt.span_stops, a, b)
    return shared / (area + gt.mask_areas[g] - shared)

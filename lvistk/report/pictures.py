"""Images with instances drawn on them, as HTML with a JPEG inside; and the detections to draw."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from lvistk import drawing as draw
from lvistk.data.index.annotation_chunk import parse_masks
from lvistk.data.index.lvis_json import read_results
from lvistk.data.store.detection_store import DetectionStore, is_detection_store
from lvistk.json_input.image_names import NamedImages
from lvistk.masks import rle
from lvistk.structures.detections import Detections

LONGEST = 640
"""Pixels of the longer side of a picture."""
QUALITY = 80


def read_image(path: Path) -> np.ndarray | None:
    """An image file as (H, W, 3) uint8 RGB; None if it cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if pixels is None else np.ascontiguousarray(pixels[:, :, ::-1])


def drawn(pixels: np.ndarray, instances: Detections, names: Sequence[str], *, scores: bool) -> str:
    """The image with instances drawn on it, as HTML with a JPEG inside.

    pixels: (H, W, 3) uint8 RGB
    instances: annotations or detections of the image; the smallest are drawn last, on top
    names: of the C categories, by label
    scores: whether captions show the score
    """
    instances = instances.select(np.argsort(_box_areas(instances), kind="stable"))
    labels = instances.labels
    captions = [names[int(label)] for label in labels]
    if scores:
        captions = draw.captions(labels, instances.scores, names=names)
    picture = draw.draw_instances(
        pixels,
        boxes=instances.boxes,
        labels=labels,
        masks=instances.masks,
        captions=captions,
    )
    return image(picture)


def image(picture: np.ndarray) -> str:
    """HTML that shows a picture and enlarges it on a click.

    picture: (H, W, 3) uint8 RGB; it is shrunk to LONGEST pixels on its longer side
    """
    scale = LONGEST / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    text = base64.b64encode(data.tobytes()).decode()
    return (
        '<label class="zoom"><input type="checkbox" aria-label="large">'
        f'<img loading="lazy" width="{width}" height="{height}" alt="" '
        f'src="data:image/jpeg;base64,{text}"></label>'
    )


def detections_of(
    results: Path,
    wanted: Mapping[int, tuple[int, int]],
    *,
    category_ids: np.ndarray,
    images: NamedImages,
) -> dict[int, Detections]:
    """Detections of some images, by image id, from a store or from results JSON.

    results: the store or the JSON
    wanted: height and width of each wanted image, by image id
    category_ids: (C,) of the ground truth, ascending; other categories are left out
    images: finds images that results name by text instead of by id
    """
    if is_detection_store(results):
        store = DetectionStore.open(results)
        rows = [(number, store.rows(number)) for number in wanted]
        return {number: store[int(row[0])] for number, row in rows if len(row)}
    grouped: dict[int, list] = {number: [] for number in wanted}
    for record in read_results(results, images=images):
        if record.image_id in grouped and record.category_id in category_ids:
            grouped[record.image_id].append(record)
    return {
        number: _image(number, wanted[number], records, category_ids)
        for number, records in grouped.items()
    }


def _image(
    number: int, size: tuple[int, int], records: list, category_ids: np.ndarray
) -> Detections:
    """Result records of one image as detections, best first; with masks if all have RLE of its size."""
    records.sort(key=lambda record: -record.score)
    coded = parse_masks([record.segmentation or msgspec.Raw(b"null") for record in records]).rle
    sound = [mask.counts for mask in coded if mask is not None and tuple(mask.size) == size]
    masks = sound if len(sound) == len(records) else None
    boxes = np.zeros((len(records), 4), np.float32)
    if masks is not None:
        try:
            boxes = rle.boxes(masks, size)
        except ValueError:  # counts that are no RLE: the boxes are drawn without masks
            masks = None
    for row, record in enumerate(records):
        if record.bbox is not None:
            x, y, width, height = record.bbox
            boxes[row] = (x, y, x + width, y + height)
    ids = np.array([record.category_id for record in records], np.int64)
    return Detections(
        image_id=number,
        size=size,
        boxes=boxes,
        scores=np.array([record.score for record in records], np.float32),
        labels=np.searchsorted(category_ids, ids).astype(np.int32),
        masks=masks,
    )


def _box_areas(instances: Detections) -> np.ndarray:
    """(N,) in pixels."""
    sides = instances.boxes[:, 2:] - instances.boxes[:, :2]
    return sides.prod(axis=1)

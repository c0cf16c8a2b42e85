"""Images as data URIs: detections beside the ground truth, and missing annotations."""

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
    """An image (H, W, 3) uint8 RGB; None where it cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if pixels is None else np.ascontiguousarray(pixels[:, :, ::-1])


def drawn(pixels: np.ndarray, found: Detections, names: Sequence[str], *, scores: bool) -> str:
    """The image with instances on it, as HTML with a JPEG inside."""
    captions = [
        f"{names[label]} {score:.0%}" if scores else names[label]
        for label, score in zip(found.labels, found.scores, strict=True)
    ]
    order = np.argsort(_areas(found), kind="stable")  # the smallest on top
    found = found.select(order)
    picture = draw.draw_instances(
        pixels,
        boxes=found.boxes,
        labels=found.labels,
        masks=found.masks,
        captions=[captions[k] for k in order.tolist()],
    )
    return image(picture)


def image(picture: np.ndarray) -> str:
    """HTML with the picture (H, W, 3) uint8 RGB as JPEG, at most LONGEST pixels long; large on a click."""
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
    """Detections of some images, ``{image id: (height, width)}``, out of a store or results JSON.

    results: the store or the results
    wanted: the images
    category_ids: those of the ground truth, ascending
    images: the images that results may name by text instead of id
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
    """Records of one image; without masks unless all have RLE of its size."""
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


def _areas(found: Detections) -> np.ndarray:
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return sides.prod(axis=1)

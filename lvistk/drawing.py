"""Instances drawn on an image, and pictures side by side, with OpenCV alone."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lvistk.masks import rle
from lvistk.whole_file import whole_file

FONT = cv2.FONT_HERSHEY_SIMPLEX
MASK_OPACITY = 0.45
GOLDEN_ANGLE = 0.61803398875
"""Hues this far apart (of a turn) stay distinct however many there are."""


def label_color(label: int) -> tuple[int, int, int]:
    """RGB of a label, the same in every picture."""
    hue = (label * GOLDEN_ANGLE) % 1.0
    value = 1.0 - 0.15 * (label % 3)
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def draw_instances(
    image: np.ndarray,
    *,
    boxes: np.ndarray,
    labels: np.ndarray,
    masks: Sequence[bytes] | None,
    captions: Sequence[str],
    min_side: int = 320,
) -> np.ndarray:
    """A copy of an image with N masks, outlines, boxes and captions: (H', W', 3) uint8 RGB.

    image: (H, W, 3) uint8 RGB
    boxes: (N, 4) xyxy in image pixels
    labels: (N,), which choose the colours
    masks: N RLEs of the image's size; None draws boxes alone
    captions: N texts; an empty one draws nothing
    min_side: pixels; a smaller image is enlarged by a whole factor first, so that captions can be read

    The first instance is drawn last, so that the best is on top.
    """
    factor = max(1, -(-min_side // min(image.shape[:2])))
    canvas = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    canvas = np.ascontiguousarray(canvas)
    for k in reversed(range(len(labels))):
        color = label_color(int(labels[k]))
        if masks is not None:
            _fill(canvas, rle.decode(masks[k], image.shape[:2]), color, factor)
        x0, y0, x1, y1 = (round(float(v) * factor) for v in boxes[k])
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), color, 1)
    for k in reversed(range(len(labels))):
        corner = boxes[k, :2] * factor
        _caption(canvas, captions[k], corner, label_color(int(labels[k])))
    return canvas


def captions(labels: np.ndarray, scores: np.ndarray, *, names: Sequence[str]) -> list[str]:
    """``dog 87%`` for each of N detections."""
    return [
        f"{names[label]} {score:.0%}"
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
    ]


def side_by_side(pictures: Sequence[np.ndarray], *, titles: Sequence[str]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 in a row on white, each below its title; smaller ones are padded."""
    height = max(picture.shape[0] for picture in pictures)
    columns = []
    for picture, title in zip(pictures, titles, strict=True):
        column = np.full((height + 26, picture.shape[1] + 8, 3), 255, np.uint8)
        column[22 : 22 + picture.shape[0], 4 : 4 + picture.shape[1]] = picture
        cv2.putText(column, title, (5, 16), FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(column)
    return np.concatenate(columns, axis=1)


def contact_sheet(
    pictures: Sequence[np.ndarray], *, size: tuple[int, int], columns: int
) -> np.ndarray:
    """One or more pictures (H, W, 3) uint8 in rows on white, each shrunk or enlarged to fit its cell.

    size: width and height of a cell in pixels
    """
    cells = [_fitted(picture, size) for picture in pictures]
    width, height = size[0] + 6, size[1] + 6
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * height, min(len(cells), columns) * width, 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        y = number // columns * height + (height - cell.shape[0]) // 2
        x = number % columns * width + (width - cell.shape[1]) // 2
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return sheet


def _fitted(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 RGB as PNG or JPEG, by the ending of ``path``; whole or not at all."""
    good, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not good:
        raise ValueError(f"{path}: cannot write pictures of this kind")
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _fill(canvas: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], factor: int) -> None:
    large = np.kron(mask, np.ones((factor, factor), np.uint8)) if factor > 1 else mask
    inside = large.astype(bool)
    mixed = canvas[inside] * (1 - MASK_OPACITY) + np.array(color) * MASK_OPACITY
    canvas[inside] = mixed.astype(np.uint8)
    outline, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outline, -1, color, 1)


def _caption(
    canvas: np.ndarray, text: str, corner: np.ndarray, color: tuple[int, int, int]
) -> None:
    if not text:
        return
    (width, height), base = cv2.getTextSize(text, FONT, 0.36, 1)
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - width - 2)))
    y = int(np.clip(corner[1] - 3, height + 2, canvas.shape[0] - base))
    dark = tuple(int(0.45 * part) for part in color)
    cv2.rectangle(canvas, (x, y - height - 2), (x + width + 2, y + base - 2), dark, -1)
    cv2.putText(canvas, text, (x + 1, y - 1), FONT, 0.36, (255, 255, 255), 1, cv2.LINE_AA)

"""Images for inference: read, resized into every view and batched, ahead of the model."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lvistk.config.inference import MAX_PIXELS
from lvistk.data.images.decode import ImageError, planes, read_image
from lvistk.inference.views import Size, View, ViewGeometry, geometry
from lvistk.structures.image_batch import ImageBatch

WINDOW = 32
"""Images are sorted by shape among so many batches."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image to detect on.

    image_id: id in annotations or results
    path: its file
    size: height and width that the annotations say, pixels; None where they are unknown
    rotation: 0, 90, 180 or 270 degrees, counter-clockwise, that turn it upright (Open Images)
    pixels: (H, W, 3) uint8 blue, green, red of an image in memory, whose file is not read
    """

    image_id: int
    path: Path
    size: Size | None = None
    rotation: int = 0
    pixels: np.ndarray | None = None


@dataclass(frozen=True)
class LeftOut:
    """An image that is not detected on.

    reason: one line that names the file
    excluded: it must not be used; else it is missing or broken
    """

    image: Image
    reason: str
    excluded: bool = False


Screen = Callable[[Image, np.ndarray], str | None]
"""Tells why a decoded image (H, W, 3) must not be used; None where it may."""


@dataclass(eq=False)
class ImagesInViews:
    """B images in V views.

    images: B images
    indices: index of each in the list that was asked for
    sizes: height and width of each upright image, pixels
    views: V batches of B images
    geometries: ``[v][b]``, how image b lies in view v
    left_out: further images of the batch by their index, which are in none of the views
    """

    images: list[Image]
    indices: list[int]
    sizes: list[Size]
    views: list[ImageBatch]
    geometries: list[list[ViewGeometry]]
    left_out: dict[int, LeftOut]

    def __len__(self) -> int:
        return len(self.images)


def plan_batches(images: Sequence[Image], batch_size: int) -> list[list[int]]:
    """Indices of the images of each batch.

    Images of like shape go together, so that little is padded; only within a window of the list, so
    that results come out nearly in its order.
    """
    batches: list[list[int]] = []
    window = batch_size * (WINDOW if batch_size > 1 else 1)
    for start in range(0, len(images), window):
        indices = list(range(start, min(start + window, len(images))))
        indices.sort(key=lambda k: _shape(images[k]))
        batches += [indices[k : k + batch_size] for k in range(0, len(indices), batch_size)]
    return batches


def load_batches(
    images: Sequence[Image],
    *,
    views: Sequence[View],
    batch_size: int,
    workers: int,
    max_pixels: int = MAX_PIXELS,
    screen: Screen | None = None,
) -> Generator[ImagesInViews, None, None]:
    """The batches of ``plan_batches``, read ahead by ``workers`` threads (0: none).

    Decoding and resizing release the interpreter lock, so threads do what processes would, without
    copying. A missing or broken image, one of more than ``max_pixels``, and one that ``screen`` excludes are
    in ``left_out``.
    """
    plans = plan_batches(images, batch_size)
    if workers == 0:
        for indices in plans:
            yield _load(images, indices, views, max_pixels, screen)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    ahead: deque[Future[ImagesInViews]] = deque()
    rest = iter(plans)
    try:
        for indices in rest:
            ahead.append(pool.submit(_load, images, indices, views, max_pixels, screen))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shape(image: Image) -> tuple[float, int]:
    """Sorted by: portrait or landscape by how much, then size."""
    height, width = image.size or (0, 0)
    return (round(width / max(height, 1), 1), height * width)


def _load(
    images: Sequence[Image],
    indices: list[int],
    views: Sequence[View],
    max_pixels: int,
    screen: Screen | None,
) -> ImagesInViews:
    pixels: list[np.ndarray] = []
    usable: list[int] = []
    left_out: dict[int, LeftOut] = {}
    for k in indices:
        decoded = read_or_leave_out(images[k], max_pixels=max_pixels, screen=screen)
        if isinstance(decoded, LeftOut):
            left_out[k] = decoded
        else:
            usable.append(k)
            pixels.append(decoded)
    sizes: list[Size] = [(image.shape[0], image.shape[1]) for image in pixels]
    geometries = [[geometry(view, size) for size in sizes] for view in views]
    batches: list[ImageBatch] = []
    resized: list[np.ndarray] = []
    for number, view in enumerate(views):
        twin = number > 0 and view.flip and views[number - 1].short_edge == view.short_edge
        if not twin:
            resized = [
                resize(image, lies.size)
                for image, lies in zip(pixels, geometries[number], strict=True)
            ]
        turned = [cv2.flip(image, 1) if view.flip else image for image in resized]
        if turned:
            batches.append(ImageBatch.stack([torch.from_numpy(planes(image)) for image in turned]))
    chosen = [images[k] for k in usable]
    return ImagesInViews(chosen, usable, sizes, batches, geometries, left_out)


def read_or_leave_out(
    image: Image, *, max_pixels: int, screen: Screen | None
) -> np.ndarray | LeftOut:
    """The pixels (H, W, 3) of an image, upright, or why it is left out."""
    if image.pixels is not None:
        return image.pixels
    try:
        pixels = read_image(
            image.path, size=image.size, rotation=image.rotation, max_pixels=max_pixels
        )
    except ImageError as error:
        return LeftOut(image, str(error))
    reason = None if screen is None else screen(image, pixels)
    return pixels if reason is None else LeftOut(image, reason, excluded=True)


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (H, W, 3) in another height and width; without aliases where it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)

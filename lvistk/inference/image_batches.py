"""Images for inference: read, resized into every view and batched, ahead of the model."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lvistk.data.images.decode import planes, read_image
from lvistk.inference.views import Size, View, ViewGeometry, geometry
from lvistk.structures.image_batch import ImageBatch

WINDOW = 32
"""Images are sorted by shape among so many batches."""


@dataclass(frozen=True)
class Image:
    """An image to look at; lengths in pixels.

    Fields: ``image_id``; ``path``; ``size`` height and width that the annotations say, or None where none
    are known; ``rotation`` 0, 90, 180 or 270 degrees counter-clockwise that turn it upright (Open Images).
    """

    image_id: int
    path: Path
    size: Size | None = None
    rotation: int = 0


@dataclass(eq=False)
class LoadedBatch:
    """B images in V views.

    Fields: ``images``; ``positions``, their places in the given list; ``sizes`` of the upright images;
    ``views`` V batches; ``places`` [v][b], how image b lies in view v.
    """

    images: list[Image]
    positions: list[int]
    sizes: list[Size]
    views: list[ImageBatch]
    places: list[list[ViewGeometry]]

    def __len__(self) -> int:
        return len(self.images)


def plan_batches(images: Sequence[Image], batch_size: int) -> list[list[int]]:
    """Positions of the images of each batch.

    Images of like shape go together, so that little is padded; only within a window of the list, so
    that results come out nearly in its order.
    """
    batches: list[list[int]] = []
    window = batch_size * (WINDOW if batch_size > 1 else 1)
    for start in range(0, len(images), window):
        positions = list(range(start, min(start + window, len(images))))
        positions.sort(key=lambda k: _shape(images[k]))
        batches += [positions[k : k + batch_size] for k in range(0, len(positions), batch_size)]
    return batches


def load_batches(
    images: Sequence[Image], *, views: Sequence[View], batch_size: int, workers: int
) -> Generator[LoadedBatch, None, None]:
    """The batches of ``plan_batches``, read ahead by ``workers`` threads (0: none).

    Decoding and resizing release the interpreter lock, so threads do what processes would, without
    copying. A broken image raises ``UserError`` when its turn comes.
    """
    plans = plan_batches(images, batch_size)
    if workers == 0:
        for positions in plans:
            yield _load(images, positions, views)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    ahead: deque[Future[LoadedBatch]] = deque()
    rest = iter(plans)
    try:
        for positions in rest:
            ahead.append(pool.submit(_load, images, positions, views))
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


def _load(images: Sequence[Image], positions: list[int], views: Sequence[View]) -> LoadedBatch:
    chosen = [images[k] for k in positions]
    pixels = [read_image(p.path, size=p.size, rotation=p.rotation) for p in chosen]
    sizes: list[Size] = [(image.shape[0], image.shape[1]) for image in pixels]
    places = [[geometry(view, size) for size in sizes] for view in views]
    batches: list[ImageBatch] = []
    resized: list[np.ndarray] = []
    for number, view in enumerate(views):
        twin = number > 0 and view.flip and views[number - 1].short_edge == view.short_edge
        if not twin:
            resized = [
                resize(image, place.size)
                for image, place in zip(pixels, places[number], strict=True)
            ]
        turned = [cv2.flip(image, 1) if view.flip else image for image in resized]
        batches.append(ImageBatch.stack([torch.from_numpy(planes(image)) for image in turned]))
    return LoadedBatch(chosen, positions, sizes, batches, places)


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (H, W, 3) in another height and width; without aliases where it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)

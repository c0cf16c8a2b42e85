"""Photos for inference: read, resized into every view and batched, ahead of the model."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lvistk.data.training.photo import planes, read_photo
from lvistk.inference.views import Size, View, ViewGeometry, geometry
from lvistk.structures.image_batch import ImageBatch

WINDOW = 32
"""Photos are sorted by shape among so many batches."""


@dataclass(frozen=True)
class Photo:
    """A photo to look at; lengths in pixels.

    Fields: ``image_id``; ``path``; ``size`` height and width that the annotations say, or None where none
    are known; ``rotation`` 0, 90, 180 or 270 degrees counter-clockwise that turn it upright (Open Images).
    """

    image_id: int
    path: Path
    size: Size | None = None
    rotation: int = 0


@dataclass(eq=False)
class PhotoBatch:
    """B photos in V views.

    Fields: ``photos``; ``positions``, their places in the given list; ``sizes`` of the upright photos;
    ``views`` V batches; ``places`` [v][b], how photo b lies in view v.
    """

    photos: list[Photo]
    positions: list[int]
    sizes: list[Size]
    views: list[ImageBatch]
    places: list[list[ViewGeometry]]

    def __len__(self) -> int:
        return len(self.photos)


def plan_batches(photos: Sequence[Photo], batch_size: int) -> list[list[int]]:
    """Positions of the photos of each batch.

    Photos of like shape go together, so that little is padded; only within a window of the list, so
    that results come out nearly in its order.
    """
    batches: list[list[int]] = []
    window = batch_size * (WINDOW if batch_size > 1 else 1)
    for start in range(0, len(photos), window):
        positions = list(range(start, min(start + window, len(photos))))
        positions.sort(key=lambda k: _shape(photos[k]))
        batches += [positions[k : k + batch_size] for k in range(0, len(positions), batch_size)]
    return batches


def load_batches(
    photos: Sequence[Photo], *, views: Sequence[View], batch_size: int, workers: int
) -> Generator[PhotoBatch, None, None]:
    """The batches of ``plan_batches``, read ahead by ``workers`` threads (0: none).

    Decoding and resizing release the interpreter lock, so threads do what processes would, without
    copying. A broken photo raises ``UserError`` when its turn comes.
    """
    plans = plan_batches(photos, batch_size)
    if workers == 0:
        for positions in plans:
            yield _load(photos, positions, views)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
    ahead: deque[Future[PhotoBatch]] = deque()
    rest = iter(plans)
    try:
        for positions in rest:
            ahead.append(pool.submit(_load, photos, positions, views))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shape(photo: Photo) -> tuple[float, int]:
    """Sorted by: portrait or landscape by how much, then size."""
    height, width = photo.size or (0, 0)
    return (round(width / max(height, 1), 1), height * width)


def _load(photos: Sequence[Photo], positions: list[int], views: Sequence[View]) -> PhotoBatch:
    chosen = [photos[k] for k in positions]
    pixels = [read_photo(p.path, size=p.size, rotation=p.rotation) for p in chosen]
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
    return PhotoBatch(chosen, positions, sizes, batches, places)


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (H, W, 3) in another height and width; without aliases where it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)

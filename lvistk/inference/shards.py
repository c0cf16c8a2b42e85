"""Detections of a long list of images as shards on disk, each by one rank, resumed shard by shard."""

from collections.abc import Callable
from dataclasses import dataclass

from lvistk import console
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.distributed import rank, world_size
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor


@dataclass(frozen=True, eq=False)
class ImageList:
    """``total`` images; ``image(k)`` gives one and may look for its file, so it is asked late.

    ``name(k)`` is the image's relative path, for images that no annotation file lists; their rotations are
    stored too, since no other file may tell them.
    """

    total: int
    image: Callable[[int], Image]
    name: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return self.total


def write_shards(
    predictor: Predictor, images: ImageList, *, writer: DetectionWriter, label: str
) -> None:
    """Predict and write this rank's shards that are not there yet.

    Shard k holds images k * ``shard_images`` and following and belongs to rank k modulo the world size.
    Nothing is gathered: with a shared disk the store is whole when every rank is through.
    """
    size = predictor.predict.shard_images
    ranges = own_shards(len(images), size=size, rank=rank(), world_size=world_size())
    missing = [k for k in ranges if not writer.has_shard(k)]
    total = sum(len(indices) for indices in ranges.values())
    left = sum(len(ranges[k]) for k in missing)
    with console.progress(label, total, done=total - left) as line:
        for k in missing:
            chosen = [images.image(i) for i in ranges[k]]
            detected = []
            for detections in predictor.run(chosen):
                detected.append(detections)
                line.advance()
            if images.name is None:
                writer.write_shard(k, detected)
                continue
            names = [images.name(i) for i in ranges[k]]
            rotations = [image.rotation for image in chosen]
            writer.write_shard(k, detected, names=names, rotations=rotations)


def own_shards(total: int, *, size: int, rank: int, world_size: int) -> dict[int, range]:
    """The shards of a rank: number -> its images among ``total``."""
    count = -(-total // size)
    return {k: range(k * size, min((k + 1) * size, total)) for k in range(rank, count, world_size)}

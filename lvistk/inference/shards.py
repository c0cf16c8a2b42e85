"""Detections of a long list of photos as shards on disk, each by one rank, resumed shard by shard."""

from collections.abc import Callable
from dataclasses import dataclass

from lvistk import console
from lvistk.data.detection_store import DetectionWriter
from lvistk.distributed import rank, world_size
from lvistk.inference.photos import Photo
from lvistk.inference.predict import Predictor


@dataclass(frozen=True, eq=False)
class PhotoList:
    """``total`` photos; ``photo(k)`` gives one and may look for its file, so it is asked late.

    ``name(k)`` is the photo's relative path where no annotation file lists it, else None for all.
    """

    total: int
    photo: Callable[[int], Photo]
    name: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return self.total


def write_shards(
    predictor: Predictor, photos: PhotoList, *, writer: DetectionWriter, label: str
) -> None:
    """Predict and write this rank's shards that are not there yet.

    Shard k holds photos k * ``shard_images`` and following and belongs to rank k modulo the world size.
    Nothing is gathered: with a shared disk the store is whole when every rank is through.
    """
    size = predictor.predict.shard_images
    own = range(rank(), -(-len(photos) // size), world_size())
    ranges = {k: range(k * size, min((k + 1) * size, len(photos))) for k in own}
    missing = [k for k in own if not writer.has_shard(k)]
    total = sum(len(places) for places in ranges.values())
    left = sum(len(ranges[k]) for k in missing)
    with console.progress(label, total, done=total - left) as line:
        for k in missing:
            found = []
            for detections in predictor.run([photos.photo(i) for i in ranges[k]]):
                found.append(detections)
                line.advance()
            names = None if photos.name is None else [photos.name(i) for i in ranges[k]]
            writer.write_shard(k, found, names=names)

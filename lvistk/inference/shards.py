"""Detections of a long list of images as shards on disk, each by one rank, resumed shard by shard."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvistk import console
from lvistk.artifacts import Portion
from lvistk.data.store.detection_shard import open_shard
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.distributed import rank, world_size
from lvistk.errors import UserError
from lvistk.inference.image_batches import Image, LeftOut, Screen, read_or_leave_out
from lvistk.inference.multi_view import LevelMoves
from lvistk.inference.predict import Predictor


@dataclass(frozen=True, eq=False)
class ImageList:
    """N images to detect on.

    ids: (N,) int64, different ones
    image: gives image k; it may look for its file, so it is asked late, and may raise ``UserError``
    name: gives the relative path of image k, where no annotation file lists it; the rotations of such
        images are stored too, since no other file may tell them
    screen: tells of a decoded image why it must not be used
    """

    ids: np.ndarray
    image: Callable[[int], Image]
    name: Callable[[int], str] | None = None
    screen: Screen | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, own: np.ndarray) -> "ImageList":
        """The images at ``own`` (K,), in that order."""
        name = self.name
        return ImageList(
            self.ids[own],
            lambda k: self.image(int(own[k])),
            name=None if name is None else lambda k: name(int(own[k])),
            screen=self.screen,
        )

    def left_out(self, k: int, *, max_pixels: int) -> LeftOut | None:
        """Why image k is left out if it is read now; None where it can be used."""
        try:
            image = self.image(k)
        except UserError as error:
            return LeftOut(Image(int(self.ids[k]), Path()), str(error))
        decoded = read_or_leave_out(image, max_pixels=max_pixels, screen=self.screen)
        return decoded if isinstance(decoded, LeftOut) else None


@dataclass(eq=False)
class _Allowance:
    """How many images of a list may be unreadable, and how many of this rank's are.

    share: of the images, 0 to 1; unless it is 0, one image is always allowed
    """

    share: float
    total: int
    count: int = field(default=0, init=False)

    def take(self, left_out: LeftOut) -> None:
        """One more image that is left out; ``UserError`` when too many cannot be read."""
        if left_out.excluded:
            return
        reason = left_out.reason
        self.count += 1
        allowed = max(int(self.share * self.total), 1) if self.share > 0 else 0
        if self.count > allowed:
            more = f"{self.count} of {self.total} images cannot be read, more than "
            more += f"predict.max_unreadable={self.share:g} allows; the last: "
            raise UserError(more + reason if allowed else reason)


def write_shards(
    predictor: Predictor,
    images: ImageList,
    *,
    writer: DetectionWriter,
    label: str,
    portion: Portion | None = None,
    finished: Callable[[Path], None] | None = None,
) -> None:
    """Predict and write this rank's shards that are not there yet.

    Shard k holds images k * ``shard_images`` and following and belongs to rank k modulo the world size; with
    a ``portion``, the ranks of all its jobs are counted through. ``finished`` is called with each of this
    rank's shards in their order, those that were there already too.
    Nothing is gathered: with a shared disk the store is whole when every rank is through. Images that
    cannot be read are left out. A shard that lacks images which can be read now is written again. Raises
    ``UserError`` where more cannot be read than ``max_unreadable`` allows, and where shards of an earlier
    start hold images that the list has elsewhere now, or not at all.
    """
    size = predictor.predict.shard_images
    number, count = (portion.number - 1, portion.count) if portion else (0, 1)
    ranges = own_shards(
        len(images),
        size=size,
        rank=number * world_size() + rank(),
        world_size=count * world_size(),
    )
    allowance = _Allowance(predictor.predict.max_unreadable, len(images))
    missing = _missing_shards(ranges, images, writer, predictor, allowance)
    for k in sorted(ranges.keys() - set(missing)) if predictor.quota.limit else ():
        predictor.quota.add(list(DetectionStore.open(writer.shard_path(k))))
    total = sum(len(indices) for indices in ranges.values())
    left = sum(len(ranges[k]) for k in missing)
    with console.progress(label, total, done=total - left) as line:
        for k in sorted(ranges):
            if k in missing:
                _write_shard(k, ranges[k], predictor, images, writer, allowance, line)
            if finished is not None:
                finished(writer.shard_path(k))


def _write_shard(
    k: int,
    indices: range,
    predictor: Predictor,
    images: ImageList,
    writer: DetectionWriter,
    allowance: _Allowance,
    line: console.ProgressLine,
) -> None:
    there, chosen = [], []
    for i in indices:
        try:
            chosen.append(images.image(i))
            there.append(i)
        except UserError as error:
            _leave_out(LeftOut(Image(int(images.ids[i]), Path()), str(error)), allowance)
            line.advance()
    kept, detected = [], []
    predictor.moves = moves = LevelMoves()
    outcomes = predictor.outcomes(chosen, screen=images.screen, progress=line.advance)
    for i, outcome in zip(there, outcomes, strict=True):
        if isinstance(outcome, LeftOut):
            _leave_out(outcome, allowance)
        else:
            kept.append(i)
            detected.append(outcome)
    predictor.quota.add(detected)
    counted = (moves.rois, moves.moved)
    if images.name is None:
        writer.write_shard(k, detected, level_moves=counted)
        return
    names = [images.name(i) for i in kept]
    turns = {i: image.rotation for i, image in zip(there, chosen, strict=True)}
    rotations = [turns[i] for i in kept]
    writer.write_shard(k, detected, names=names, rotations=rotations, level_moves=counted)


def _leave_out(left_out: LeftOut, allowance: _Allowance) -> None:
    allowance.take(left_out)
    console.warn(f"left out: {left_out.reason}")


def _missing_shards(
    ranges: dict[int, range],
    images: ImageList,
    writer: DetectionWriter,
    predictor: Predictor,
    allowance: _Allowance,
) -> list[int]:
    """Shards to compute: those that are not there, and those that lack an image that can be read now."""
    missing = []
    gone = 0
    for k, indices in ranges.items():
        if not writer.has_shard(k):
            missing.append(k)
            continue
        stored = open_shard(writer.shard_path(k))[0].image_ids
        listed = images.ids[indices.start : indices.stop]
        gone += len(np.setdiff1d(stored, listed))
        reasons = [
            images.left_out(indices[i], max_pixels=predictor.predict.max_pixels)
            for i in np.flatnonzero(~np.isin(listed, stored)).tolist()
        ]
        if None in reasons:
            missing.append(k)
            continue
        for reason in reasons:
            if reason is not None:
                allowance.take(reason)
    if gone:
        raise UserError(
            f"{writer.path}: the images changed since this run began: {gone} that are detected already "
            f"are gone from the list of {len(images)} or moved in it, because images were added or "
            "removed; restore them, or start again with --force"
        )
    return missing


class LeftOutRow(NamedTuple):
    """An image that a finished store lacks: ``file`` is '' where the list has no names."""

    image_id: int
    file: str
    reason: str
    excluded: bool


def left_out_images(
    images: ImageList, stored_ids: np.ndarray, *, max_pixels: int
) -> list[LeftOutRow]:
    """What a finished store lacks of a list, with the reasons; the few images are read again for them."""
    rows = []
    for k in np.flatnonzero(~np.isin(images.ids, stored_ids)).tolist():
        left_out = images.left_out(k, max_pixels=max_pixels)
        reason = left_out.reason if left_out else "it could not be read when its turn came"
        name = "" if images.name is None else images.name(k)
        excluded = left_out is not None and left_out.excluded
        rows.append(LeftOutRow(int(images.ids[k]), name, reason, excluded))
    return rows


def own_shards(total: int, *, size: int, rank: int, world_size: int) -> dict[int, range]:
    """The shards of a rank: number -> its images among ``total``."""
    count = -(-total // size)
    return {k: range(k * size, min((k + 1) * size, total)) for k in range(rank, count, world_size)}

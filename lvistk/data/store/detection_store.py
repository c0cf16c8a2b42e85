"""The detection store: detections of many images as columns, one HDF5 file per shard, mapped not read.

A file holds N detections of M images: ``label (N,)`` int32, ``score (N,)`` float32, ``box (N, 4)``
float32 xyxy in original pixels, optionally ``mask_score (N,)`` float32 and masks as ``rle`` bytes with
``rle_offset (N + 1,)``, and what is asked of most masks, ``mask_area (N,)`` and ``mask_box (N, 4)`` int32,
px and tight xyxy (older stores have neither), and ``annotation_id (N,)`` int64 of detections that are the
annotations of a file; ``images/id (M,)`` int64, ``images/height``,
``images/width`` (M,) int32, ``images/row (M + 1,)`` int64: image m has the detections
``row[m]:row[m + 1]``; optionally ``images/name`` bytes with ``images/name_offset (M + 1,)`` and
``images/rotation (M,)`` int32, the degrees counter-clockwise that turned each image upright, and
``level_moves (2,)`` float64, mask RoIs pooled and those whose level Eq. 1 changed;
``category_ids (C,)`` int64 in label order. Attributes: ``format``, ``version``, ``role``, ``digest``.
Datasets are contiguous, so that each is a piece of the file that processes share as mapped pages.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvistk.data.store.detection_shard import open_shard
from lvistk.data.store.joined_columns import join_columns
from lvistk.data.store.shard_file import write_shard_file
from lvistk.errors import UserError
from lvistk.masks.polygons import starts
from lvistk.masks.rle import extents
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

OPEN_SHARDS = 64
"""Shards mapped at once; a store of the Open Images pool has thousands."""


class DetectionWriter:
    """Writes shards into a folder, or one file where ``path`` ends in ``.h5``.

    ``role`` says what the detections are for: ``detections``, ``missing`` or ``pseudo``.
    """

    def __init__(self, path: Path, *, categories: Categories, role: str) -> None:
        self.path = path
        self._category_ids = np.asarray(categories.ids, np.int64)
        self._role = role

    def shard_path(self, k: int) -> Path:
        """Where shard ``k`` lies; a shard that is there is complete."""
        return self.path if self.path.suffix == ".h5" else self.path / f"{k:05d}.h5"

    def has_shard(self, k: int) -> bool:
        return self.shard_path(k).is_file()

    def write_shard(
        self,
        k: int,
        images: Sequence[Detections],
        *,
        names: Sequence[str] | None = None,
        rotations: Sequence[int] | None = None,
        level_moves: tuple[int, float] | None = None,
    ) -> None:
        """Write the detections of M images as shard ``k``, whole or not at all.

        ``names (M,)`` are the images' relative paths, for images that no annotation file lists, and
        ``rotations (M,)`` the counter-clockwise degrees by which they were turned before. ``level_moves``:
        mask RoIs pooled for the shard, and those whose level Eq. 1 changed. Either
        every image with detections has masks (mask scores), or none has.
        """
        columns = _columns(images)
        if names is not None:
            encoded = [name.encode() for name in names]
            columns["images/name"] = np.frombuffer(b"".join(encoded), np.uint8)
            columns["images/name_offset"] = starts([len(name) for name in encoded])
        if rotations is not None:
            columns["images/rotation"] = np.asarray(rotations, np.int32)
        if level_moves is not None:
            columns["level_moves"] = np.asarray(level_moves, np.float64)
        columns["category_ids"] = self._category_ids
        write_shard_file(self.shard_path(k), columns, role=self._role)

    def write_columns(self, k: int, parts: Sequence[dict[str, np.ndarray]]) -> None:
        """Write shard ``k`` of the columns of one or more parts, whole or not at all; the parts lose them
        (``join_columns``)."""
        columns = join_columns(parts) | {"category_ids": self._category_ids}
        write_shard_file(self.shard_path(k), columns, role=self._role)


def _columns(images: Sequence[Detections]) -> dict[str, np.ndarray]:
    filled = [image for image in images if len(image)]
    columns = {
        "label": _joined([image.labels for image in filled], np.int32),
        "score": _joined([image.scores for image in filled], np.float32),
        "box": _joined([image.boxes for image in filled], np.float32, width=4),
        "images/id": np.array([image.image_id for image in images], np.int64),
        "images/height": np.array([image.size[0] for image in images], np.int32),
        "images/width": np.array([image.size[1] for image in images], np.int32),
        "images/row": starts([len(image) for image in images]),
    }
    if all(image.masks is not None for image in filled):
        masks = [mask for image in filled for mask in image.masks or ()]
        columns["rle"] = np.frombuffer(b"".join(masks), np.uint8)
        columns["rle_offset"] = starts([len(mask) for mask in masks])
        columns |= _extents(filled)
    elif any(image.masks is not None for image in filled):
        raise ValueError("some images of a shard have masks and others have none")
    mask_scores = [image.mask_scores for image in filled if image.mask_scores is not None]
    if filled and len(mask_scores) == len(filled):
        columns["mask_score"] = _joined(mask_scores, np.float32)
    ids = [image.annotation_ids for image in filled if image.annotation_ids is not None]
    if filled and len(ids) == len(filled):
        columns["annotation_id"] = _joined(ids, np.int64)
    return columns


def _extents(images: Sequence[Detections]) -> dict[str, np.ndarray]:
    """Areas and tight boxes of the masks; none of them where a mask is no RLE of its image's size, so
    that who reads them knows every mask to be whole."""
    try:
        per_image = [extents(image.masks or [], image.size) for image in images]
    except ValueError:
        return {}
    return {
        "mask_area": _joined([one.areas for one in per_image], np.int32),
        "mask_box": _joined([one.boxes for one in per_image], np.int32, width=4),
    }


def _joined(arrays: Sequence[np.ndarray], kind: Any, *, width: int = 0) -> np.ndarray:
    empty = np.zeros((0, width) if width else 0, kind)
    return np.concatenate([empty, *[np.asarray(values, kind) for values in arrays]])


class DetectionStore:
    """Detections of M images in one or many shards; ``open`` makes one. Pickles by path.

    Fields: ``image_ids (M,)`` int64, ``category_ids (C,)`` int64 in label order, ``role``, ``shards``.
    Indexing and iterating go by image: ``store[row]`` is the ``Detections`` of the image at ``row``.
    """

    def __init__(self, *paths: Path, check: bool = True) -> None:
        self._paths, self.path = paths, paths[0]
        files = [file for path in paths for file in _shard_files(path)]
        opened = [open_shard(file, check=check) for file in files]
        self.shards = [shard for shard, _, _ in opened]
        _, self.category_ids, self.role = opened[0]
        for shard, category_ids, _ in opened:
            if not np.array_equal(category_ids, self.category_ids):
                raise UserError(f"{shard.path}: other categories than in {files[0]}")
        self.image_ids = np.concatenate([shard.image_ids for shard in self.shards])
        self._first = starts([len(shard.image_ids) for shard in self.shards])
        self._order = np.argsort(self.image_ids, kind="stable")
        self._mapped: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()
        ordered = self.image_ids[self._order]
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(repeated):
            where = ", ".join(map(str, paths))
            raise UserError(
                f"{where}: duplicate image id {repeated[0]}; give each image its own id"
            )

    @classmethod
    def open(cls, *paths: Path) -> "DetectionStore":
        """A store of one file, or of a folder of ``*.h5``; a stage folder's ``detections`` too.

        paths: one or more; several are one store of all their shards, which are not copied.

        Digests and values are checked. Raises ``UserError`` for a file that is missing, truncated, changed
        since it was written, or no detection store, and where two stores hold the same image.
        """
        return cls(*(_store_folder(path) for path in paths))

    def __reduce__(self) -> tuple[Any, tuple[Path, ...]]:
        return _opened_elsewhere, self._paths

    def __len__(self) -> int:
        """Images."""
        return len(self.image_ids)

    def __iter__(self) -> Iterator[Detections]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Detections:
        """The detections of the image at ``row``; masks are None in a store of boxes."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        columns, index = self._locate(row)
        first, last = (int(edge) for edge in columns["images/row"][index : index + 2])
        masks = None
        if "rle" in columns:
            offsets = columns["rle_offset"][first : last + 1].tolist()
            whole = columns["rle"][offsets[0] : offsets[-1]].tobytes()
            masks = [whole[a - offsets[0] : b - offsets[0]] for a, b in itertools.pairwise(offsets)]
        scores, ids = columns.get("mask_score"), columns.get("annotation_id")
        return Detections(
            image_id=int(self.image_ids[row]),
            size=(int(columns["images/height"][index]), int(columns["images/width"][index])),
            boxes=columns["box"][first:last],
            scores=columns["score"][first:last],
            labels=columns["label"][first:last],
            masks=masks,
            mask_scores=None if scores is None else scores[first:last],
            annotation_ids=None if ids is None else ids[first:last],
        )

    def rows(self, image_id: int) -> np.ndarray:
        """Rows (K,) of the image with this id: one, or none where the store does not hold it."""
        first, last = (
            np.searchsorted(self.image_ids, image_id, side=side, sorter=self._order)
            for side in ("left", "right")
        )
        return self._order[first:last]

    def name(self, row: int) -> str:
        """Relative path of the image at ``row``, '' where the store names none."""
        columns, index = self._locate(row)
        if "images/name" not in columns:
            return ""
        first, last = columns["images/name_offset"][index : index + 2]
        return columns["images/name"][first:last].tobytes().decode()

    def rotation(self, row: int) -> int:
        """Degrees counter-clockwise that turn the image at ``row`` upright, as its detections lie."""
        columns, index = self._locate(row)
        return int(columns["images/rotation"][index]) if "images/rotation" in columns else 0

    def level_moved(self) -> float | None:
        """Share of the mask RoIs whose feature level Eq. 1 changed; None where no shard tells."""
        told = [s.columns()["level_moves"] for s in self.shards if "level_moves" in s.layout]
        rois, moved = np.sum(told, axis=0) if told else (0.0, 0.0)
        return float(moved / rois) if rois else None

    def _locate(self, row: int) -> tuple[dict[str, np.ndarray], int]:
        """The columns of the shard that holds ``row``, and its index in that shard."""
        number = int(np.searchsorted(self._first, row, side="right")) - 1
        columns = self._mapped.pop(number, None)
        if columns is None:
            columns = self.shards[number].columns()
        self._mapped[number] = columns
        if len(self._mapped) > OPEN_SHARDS:
            self._mapped.popitem(last=False)
        return columns, row - int(self._first[number])


def _opened_elsewhere(*paths: Path) -> DetectionStore:
    """The store in a loader worker: the process that hands it over has checked its content."""
    return DetectionStore(*paths, check=False)


def _store_folder(path: Path) -> Path:
    """The folder of the shards of a stage folder; any other path as it is."""
    return path / "detections" if (path / "detections").is_dir() else path


def _shard_files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.h5")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no detection store (*.h5) in this folder")
    return files


def is_detection_store(path: Path) -> bool:
    """Whether ``path`` is meant as a detection store: an ``.h5`` file, or a folder of them."""
    path = _store_folder(path)
    return path.suffix == ".h5" or (path.is_dir() and any(path.glob("*.h5")))

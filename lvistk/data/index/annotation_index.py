"""The annotation index: LVIS annotations as flat, memory-mapped arrays that workers and ranks share."""

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from lvistk import console
from lvistk.data.index.defects import Defect, count_by_kind
from lvistk.data.index.flat_arrays import map_arrays
from lvistk.data.index.index_cache import built_folder, user_cache
from lvistk.errors import UserError
from lvistk.masks.polygons import Polygons
from lvistk.structures.categories import Categories

DEFECTS_FILE = "defects.json"


@dataclass(eq=False)
class ImageAnnotations:
    """The G annotations of one image, as views of the index where they can be.

    Fields: ``ids (G,)`` int64; ``boxes (G, 4)`` float32 xyxy in original pixels; ``labels (G,)`` int32;
    ``areas (G,)`` float32 mask areas in pixels; ``polygons`` of the G instances, an instance without
    parts being an RLE; ``rle`` G compressed counts of the image's size, None where there are polygons.
    """

    ids: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    polygons: Polygons
    rle: list[bytes | None]

    def __len__(self) -> int:
        return len(self.ids)


class AnnotationIndex:
    """Images and annotations of one or several annotation files; ``open`` makes one.

    I images, A annotations in image order. Fields (read-only, mapped): ``image_ids (I,)`` int64;
    ``heights (I,)``, ``widths (I,)``, ``image_source (I,)`` int32, the last counting ``sources``; ``row
    (I + 1,)`` int64: image i has the annotations ``row[i]:row[i + 1]``; ``annotation_ids (A,)`` int64;
    ``boxes (A, 4)`` float32 xyxy in original pixels, as in the file, not clipped; ``labels (A,)``
    int32; ``areas (A,)`` float32 mask areas in pixels: the file's ``area``, which in LVIS is the mask's,
    or the rasterised union where the file has none (``areas_computed`` says how many).
    ``categories`` hold the counts of these annotations. Pickles by path.
    """

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        arrays, notes = map_arrays(folder)
        self.folder, self.sources = folder, tuple(sources)
        self.image_ids, self.image_source = arrays["image_ids"], arrays["image_source"]
        self.heights, self.widths = arrays["heights"], arrays["widths"]
        self.row = arrays["row"]
        self.annotation_ids, self.labels = arrays["annotation_ids"], arrays["labels"]
        self.boxes, self.areas = arrays["boxes"], arrays["areas"]
        self.areas_computed: int = notes["areas_computed"]
        self.defect_count: int = notes["defects"]
        self.categories = Categories(
            ids=np.array(arrays["category_ids"]),
            names=tuple(notes["category_names"]),
            frequency=np.array([chr(f).strip() for f in arrays["category_frequency"]], "<U1"),
            image_count=np.array(arrays["category_images"]),
            instance_count=np.array(arrays["category_instances"]),
            annotated_images=int(np.count_nonzero(np.diff(self.row))),
        )
        self._arrays = arrays

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        *,
        cache: Path | None = None,
        defects: Literal["fail", "skip"] = "fail",
    ) -> "AnnotationIndex":
        """The index of annotation files, built on first use below ``cache`` (else the user's cache).

        With ``fail`` the first defect is a ``UserError`` naming file, id and mend; with ``skip`` the records
        with a defect are left out, and ``defects`` lists them. Several files need one label set and
        images of their own.
        """
        if not paths:
            raise UserError("no annotation file given")
        folder = built_folder(paths, cache or user_cache(), _build)
        try:
            index = cls(folder, paths)
        except (OSError, ValueError, KeyError):  # damaged, by a full disk or a loss of power
            shutil.rmtree(folder)
            index = cls(built_folder(paths, cache or user_cache(), _build), paths)
        if defects == "fail" and index.defect_count:
            more = f" (and {index.defect_count - 1} more defects)" if index.defect_count > 1 else ""
            raise UserError(
                f"{index.defects[0].line(index.sources)}{more}; correct the file, or leave such "
                "records out with loader.defects=skip; `lvistk inspect` lists them"
            )
        return index

    def __reduce__(self) -> tuple[type["AnnotationIndex"], tuple[Path, tuple[Path, ...]]]:
        return type(self), (self.folder, self.sources)

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def defects(self) -> list[Defect]:
        """Every defect of the sources; the records that have one are not in the index."""
        return msgspec.json.decode((self.folder / DEFECTS_FILE).read_bytes(), type=list[Defect])

    def warn_of_defects(self) -> None:
        """One line on standard error about the records that were left out; none without defects."""
        if self.defect_count:
            counts = count_by_kind(self.defects)
            console.warn(
                f"{', '.join(str(path) for path in self.sources)}: left out records with a defect: "
                + ", ".join(f"{count} {kind}" for kind, count in counts.items())
                + " (`lvistk inspect` names them)"
            )

    def annotations(self, i: int) -> ImageAnnotations:
        """The annotations of image ``i``; none gives empty arrays."""
        first, last = self.row[i], self.row[i + 1]
        arrays = self._arrays
        instance_start = arrays["instance_start"][first : last + 1]
        part_start = arrays["part_start"][instance_start[0] : instance_start[-1] + 1]
        rle_start = arrays["rle_start"][first : last + 1]
        return ImageAnnotations(
            ids=self.annotation_ids[first:last],
            boxes=self.boxes[first:last],
            labels=self.labels[first:last],
            areas=self.areas[first:last],
            polygons=Polygons(
                points=arrays["points"][part_start[0] : part_start[-1]],
                part_start=part_start - part_start[0],
                instance_start=instance_start - instance_start[0],
            ),
            rle=[
                arrays["rle"][a:b].tobytes() if b > a else None
                for a, b in itertools.pairwise(rle_start)
            ],
        )

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image ``i`` in pixels."""
        return int(self.heights[i]), int(self.widths[i])

    def file_name(self, i: int) -> str:
        """``train2017/000000000001.jpg``: the last two parts of coco_url, else file_name."""
        start = self._arrays["name_start"]
        return self._arrays["names"][start[i] : start[i + 1]].tobytes().decode()

    def image_path(self, i: int, root: Path) -> Path:
        """Where image ``i`` lies below ``root``: ``root/split/name`` or ``root/name``.

        v0.5's ``COCO_train2014_`` before the name is left off where need be. Raises ``UserError``
        where none of these is a file.
        """
        name = self.file_name(i)
        last = name.rsplit("/", 1)[-1]
        tried = [root / name, root / last]
        if last.startswith("COCO_"):
            tried.append(root / last.rsplit("_", 1)[-1])
        for path in tried:
            if path.is_file():
                return path
        raise UserError(
            f"{root}: image {name} of image {self.image_ids[i]} is not there; "
            "give the folder that holds the images, or their split folders"
        )

    def negative_labels(self, i: int) -> np.ndarray:
        """Labels (N,) int32 of the categories verified absent in image ``i``."""
        return self._list("negative", i)

    def not_exhaustive_labels(self, i: int) -> np.ndarray:
        """Labels (N,) int32 of the categories of image ``i`` of which instances may be unannotated."""
        return self._list("not_exhaustive", i)

    def index_of(self, image_id: int) -> int:
        """The place of an image; ``UserError`` where the id is unknown."""
        order = self._arrays["image_order"]
        place = np.searchsorted(self.image_ids, image_id, sorter=order)
        if place == len(order) or self.image_ids[order[place]] != image_id:
            raise UserError(f"{self.sources[0]}: no image with id {image_id}")
        return int(order[place])

    def area_ratios(self) -> np.ndarray:
        """Mask area over box area (A,) float32 of every annotation, at most 1 (the ratio of Eq. 1)."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.minimum(self.areas / sides.prod(axis=1), np.float32(1))

    def _list(self, name: str, i: int) -> np.ndarray:
        start = self._arrays[f"{name}_start"]
        return self._arrays[name][start[i] : start[i + 1]]


def _build(paths: Sequence[Path], folder: Path) -> None:
    from lvistk.data.index.index_build import build_index  # needed once, not at every opening

    build_index(paths, folder)

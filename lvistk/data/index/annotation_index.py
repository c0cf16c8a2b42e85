"""The annotation index: LVIS annotations as flat, memory-mapped arrays that workers and ranks share."""

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from lvistk import console
from lvistk.data.images.image_files import ImageFolder, image_key
from lvistk.data.index.bounds import check_bounds
from lvistk.data.index.defects import Defect, count_by_kind
from lvistk.data.index.flat_arrays import DAMAGED, check_arrays, map_arrays
from lvistk.data.index.index_cache import built_folder, user_cache
from lvistk.data.index.instances import EncodedBitmaps, Instances
from lvistk.data.index.runs import gather_runs, run_starts
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.masks.polygons import Polygons
from lvistk.structures.categories import Categories

MENDS = {"crowd": "make an LVIS file of a COCO file with `lvistk convert --from coco`, "}
"""What else than correcting the file helps, by kind of defect."""


class AnnotationIndex:
    """Images and annotations of one or several annotation files; ``open`` makes one.

    I images, A annotations in image order, C categories. Boxes and areas are those of the masks, whatever the
    files say. Arrays are mapped and read-only; an index pickles by path.

    image_ids: (I,) int64
    heights, widths: (I,) int32, in pixels
    image_source: (I,) int32, the number of the image's file in ``sources``
    row: (I + 1,) int64; image i has the annotations ``row[i]:row[i + 1]``
    annotation_ids: (A,) int64
    labels: (A,) int32
    boxes: (A, 4) float32 xyxy, tight around the mask within the image, in original pixels
    areas: (A,) float32, of the mask within the image, in original pixels
    areas_computed: annotations without an area in the file
    categories: C categories, with the counts of these annotations
    read_images, read_annotations: records in the files, those with a defect included
    category_read: (C,) int64, the same by category
    defect_count, left_out_count: defects, and those whose record was left out; the others were corrected
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
        self.left_out_count: int = notes["left_out"]
        self.read_images: int = notes["read_images"]
        self.read_annotations: int = notes["read_annotations"]
        self.category_read = arrays["category_read"]
        self.categories = Categories(
            ids=np.array(arrays["category_ids"]),
            names=tuple(notes["category_names"]),
            frequency=np.array([chr(f).strip() for f in arrays["category_frequency"]], "<U1"),
            image_count=np.array(arrays["category_images"]),
            instance_count=np.array(arrays["category_instances"]),
            annotated_images=int(np.count_nonzero(np.diff(self.row))),
        )
        self._arrays = arrays
        self._image_folders: dict[Path, ImageFolder] = {}

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        *,
        cache: Path | None = None,
        defects: Literal["fail", "skip"] = "fail",
    ) -> "AnnotationIndex":
        """The index of annotation files, built on first use below ``cache`` (else the user's cache).

        With ``fail`` the first defect that cannot be corrected is a ``UserError`` naming file, id and
        mend; with ``skip`` such records are left out. ``defects`` lists them, and what was corrected.
        Several files need one label set and images of their own.
        """
        if not paths:
            raise UserError("no annotation file given")
        folder = built_folder(paths, cache or user_cache(), _build)
        try:
            index = cls._checked(folder, paths)
        except (OSError, *DAMAGED):
            shutil.rmtree(folder)
            index = cls._checked(built_folder(paths, cache or user_cache(), _build), paths)
        if defects == "fail" and index.left_out_count:
            others = index.left_out_count - 1
            more = f" (and {others} more defects)" if others else ""
            first = next(defect for defect in index.defects if not defect.corrected)
            raise UserError(
                f"{first.line(index.sources)}{more}; {MENDS.get(first.kind, '')}correct the file, or "
                "leave such records out with loader.defects=skip; `lvistk inspect` lists them"
            )
        return index

    @classmethod
    def _checked(cls, folder: Path, paths: Sequence[Path]) -> "AnnotationIndex":
        """The index in ``folder``; its checksums are compared once for each state of its files."""
        is_new = check_arrays(folder)
        index = cls(folder, paths)
        if is_new:
            check_bounds(index._arrays)
        return index

    def __reduce__(self) -> tuple[type["AnnotationIndex"], tuple[Path, tuple[Path, ...]]]:
        return type(self), (self.folder, self.sources)

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def defects(self) -> list[Defect]:
        """Every defect of the sources; records whose defect is not ``corrected`` are not in the index."""
        return msgspec.json.decode(self._arrays["defects"].tobytes(), type=list[Defect])

    def warn_of_defects(self) -> None:
        """A line on standard error about records that were left out, and one about corrected ones."""
        if not self.defect_count:
            return
        files = ", ".join(str(path) for path in self.sources)
        for corrected, what in (
            (False, "left out records with a defect"),
            (True, "used records with boxes and areas of their masks instead of the file's"),
        ):
            counts = count_by_kind([d for d in self.defects if d.corrected == corrected])
            if counts:
                shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
                console.warn(f"{files}: {what}: {shown} (`lvistk inspect` names them)")

    def annotations(self, i: int) -> Instances:
        """The annotations of image ``i``, views of the index where they can be; none gives empty arrays."""
        first, last = self.row[i], self.row[i + 1]
        arrays = self._arrays
        instance_start = arrays["instance_start"][first : last + 1]
        part_start = arrays["part_start"][instance_start[0] : instance_start[-1] + 1]
        return Instances(
            boxes=self.boxes[first:last],
            labels=self.labels[first:last],
            areas=self.areas[first:last],
            polygons=Polygons(
                points=arrays["points"][part_start[0] : part_start[-1]],
                part_start=part_start - part_start[0],
                instance_start=instance_start - instance_start[0],
            ),
            bitmaps=EncodedBitmaps(self._rle(i), self.size(i)),
        )

    def ids(self, i: int) -> np.ndarray:
        """Ids (G,) int64 of the annotations of image ``i``."""
        return self.annotation_ids[self.row[i] : self.row[i + 1]]

    def masks(self, i: int) -> list[bytes]:
        """The masks of the annotations of image ``i`` as RLE, polygons drawn as COCO does."""
        encoded, polygons = self._rle(i), self.annotations(i).polygons
        return [
            encoded.get(g) or rle.from_polygons(polygons.parts(g), self.size(i))
            for g in range(len(polygons))
        ]

    def _rle(self, i: int) -> dict[int, bytes]:
        """Compressed counts of the annotations of image ``i`` whose masks are no polygons."""
        start = self._arrays["rle_start"][self.row[i] : self.row[i + 1] + 1]
        encoded = np.flatnonzero(start[1:] > start[:-1]).tolist()
        return {g: self._arrays["rle"][start[g] : start[g + 1]].tobytes() for g in encoded}

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image ``i`` in pixels."""
        return int(self.heights[i]), int(self.widths[i])

    def file_name(self, i: int) -> str:
        """How image ``i`` is called: ``train2017/000000000001.jpg``, or its ``file_name``."""
        return self._text("name", i)

    def image_path(self, i: int, root: Path) -> Path:
        """The file of image ``i`` below ``root``, as ``image_files.ImageFolder`` finds it.

        Raises ``UserError`` where it is not there.
        """
        folder = self._image_folders.get(root)
        if folder is None:
            folder = self._image_folders[root] = ImageFolder(root, same_ending=self._same_ending)
        try:
            return folder.find(self._all_names(i))
        except UserError as error:
            raise UserError(
                f"{root}: image {self.file_name(i)} of image {self.image_ids[i]} is not there: {error}; "
                "give the folder that holds the images, or their split folders"
            ) from None

    def negative_labels(self, i: int) -> np.ndarray:
        """Labels (N,) int32 of the categories verified absent in image ``i``."""
        return self._list("negative", i)

    def not_exhaustive_labels(self, i: int) -> np.ndarray:
        """Labels (N,) int32 of the categories of image ``i`` of which instances may be unannotated."""
        return self._list("not_exhaustive", i)

    def index_of(self, image_id: int) -> int:
        """The number i of an image in the index; ``UserError`` where the id is unknown."""
        order = self._arrays["image_order"]
        rank = np.searchsorted(self.image_ids, image_id, sorter=order)
        if rank == len(order) or self.image_ids[order[rank]] != image_id:
            raise UserError(f"{self.sources[0]}: no image with id {image_id}")
        return int(order[rank])

    def area_ratios(self) -> np.ndarray:
        """Mask area over box area (A,) float32 of every annotation, at most 1 (the ratio of Eq. 1)."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.minimum(self.areas / sides.prod(axis=1), np.float32(1))

    def _text(self, name: str, i: int) -> str:
        start = self._arrays[f"{name}_start"]
        return self._arrays[f"{name}s"][start[i] : start[i + 1]].tobytes().decode()

    def _all_names(self, i: int) -> list[str]:
        """``file_name`` and the end of ``coco_url``, as far as the file has them."""
        return [name for name in (self._text("other_name", i), self.file_name(i)) if name]

    @cached_property
    def _names_by_last_part(self) -> dict[str, list[tuple[str, str]]]:
        """Of each last part, the images' names with it, and what these images are called."""
        by_last: dict[str, list[tuple[str, str]]] = {}
        for i in range(len(self)):
            called = image_key(self.file_name(i))
            for name in self._all_names(i):
                key = image_key(name).casefold()
                by_last.setdefault(key.rsplit("/", 1)[-1], []).append((key, called))
        return by_last

    def _same_ending(self, parts: tuple[str, ...]) -> bool:
        """Whether several images have names that end in ``parts``."""
        ending = image_key("/".join(parts)).casefold()
        names = self._names_by_last_part.get(ending.rsplit("/", 1)[-1], ())
        return len({one for key, one in names if f"/{key}".endswith(f"/{ending}")}) > 1

    def listed(
        self, kind: Literal["negative", "not_exhaustive"], images: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The labels (N,) int32 in a list of each of ``images (K,)``, and where the lists begin: (K + 1,)."""
        start = self._arrays[f"{kind}_start"]
        return gather_runs(self._arrays[kind], start, images), run_starts(start, images)

    def _list(self, name: str, i: int) -> np.ndarray:
        start = self._arrays[f"{name}_start"]
        return self._arrays[name][start[i] : start[i + 1]]


def _build(paths: Sequence[Path], folder: Path) -> None:
    from lvistk.data.index.index_build import build_index  # needed once, not at every opening

    build_index(paths, folder)

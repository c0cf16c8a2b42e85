"""The images of several annotation files as growing tables, checked."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lvistk.data.index.defects import Defect
from lvistk.data.index.flat_arrays import FlatWriter
from lvistk.data.index.lvis_json import Broken, ImageRecord
from lvistk.errors import UserError
from lvistk.masks.polygons import starts
from lvistk.structures.categories import Categories

FIELDS = {
    "negative": "neg_category_ids",
    "not_exhaustive": "not_exhaustive_category_ids",
}


class _Lists:
    """The category lists of one file's images, one after the other."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.counts: list[int] = []


class ImageTable:
    """Images in the order of the files; rows are known by image id across all of them."""

    def __init__(self, categories: Categories) -> None:
        self._categories = categories
        self._ids: list[int] = []
        self._sizes: list[tuple[int, int]] = []
        self._sources: list[int] = []
        self._names: list[bytes] = []
        self._other_names: list[bytes] = []
        self._lists: dict[str, list[np.ndarray]] = {name: [] for name in FIELDS}
        self._row_of: dict[int, int] = {}
        self.read = 0
        """Records read, those with a defect included."""
        self.left_out: set[int] = set()
        """Ids of images with a defect; their annotations go with them, without being reported."""

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self, number: int, path: Path, records: Iterable[ImageRecord | Broken], others: list[Path]
    ) -> list[Defect]:
        """Take in the images of file ``number``; returns the defects, whose images are left out.

        An id that an earlier file of ``others`` has too is a ``UserError``.
        """
        first_row = len(self)
        defects: list[Defect] = []
        lists = {name: _Lists() for name in FIELDS}
        for record in records:
            self.read += 1
            defect = self._fault(number, record, first_row)
            if defect is not None:
                defects.append(defect)
                if defect.kind != "id_twice" and defect.id is not None:
                    self.left_out.add(defect.id)
                continue
            assert isinstance(record, ImageRecord)
            if record.id in self._row_of:
                raise UserError(self._twice(record, path, others))
            self._append(number, record)
            for name, ids in (
                ("negative", record.neg_category_ids),
                ("not_exhaustive", record.not_exhaustive_category_ids),
            ):
                lists[name].ids.extend(ids)
                lists[name].counts.append(len(ids))
        for name, one in lists.items():
            defects += self._take_lists(name, one, number, first_row)
        return defects

    def rows(self, image_ids: np.ndarray, *, source: int) -> np.ndarray:
        """Row (N,) int64 of each image id among the images of one file, -1 where there is none."""
        get = self._row_of.get
        rows = np.array([get(number, -1) for number in image_ids.tolist()], np.int64)
        sources = np.array([*self._sources, -1])
        return np.where(sources[rows] == source, rows, -1)

    def sizes(self) -> np.ndarray:
        """Height and width (I, 2) int32."""
        return np.array(self._sizes, np.int32).reshape(-1, 2)

    def write(self, writer: FlatWriter) -> None:
        """All tables as arrays of an index."""
        sizes = self.sizes()
        ids = np.array(self._ids, np.int64)
        writer.append("image_ids", ids)
        writer.append("image_order", np.argsort(ids, kind="stable"))
        writer.append("heights", sizes[:, 0])
        writer.append("widths", sizes[:, 1])
        writer.append("image_source", np.array(self._sources, np.int32))
        for key, texts in (("name", self._names), ("other_name", self._other_names)):
            writer.append(f"{key}_start", starts([len(text) for text in texts]))
            writer.append(f"{key}s", np.frombuffer(b"".join(texts), np.uint8))
        count = max(len(self._categories), 1)
        for name, pairs in self._lists.items():
            rows, labels = np.divmod(np.concatenate([np.zeros(0, np.int64), *pairs]), count)
            writer.append(f"{name}_start", starts(np.bincount(rows, minlength=len(self))))
            writer.append(name, labels.astype(np.int32))

    def _fault(self, number: int, record: ImageRecord | Broken, first_row: int) -> Defect | None:
        if isinstance(record, Broken):
            text = f"(number {record.position} of the list) {record.reason}"
            return Defect(number, "image", record.id, "wrong_type", text)
        if self._row_of.get(record.id, -1) >= first_row:
            return Defect(number, "image", record.id, "id_twice", "its id is used twice")
        if not (record.coco_url or record.file_name):
            text = "it has neither coco_url nor file_name"
            return Defect(number, "image", record.id, "no_name", text)
        return None

    def _append(self, number: int, record: ImageRecord) -> None:
        self._row_of[record.id] = len(self)
        self._ids.append(record.id)
        self._sizes.append((record.height, record.width))
        self._sources.append(number)
        name = record.name
        self._names.append(name.encode())
        self._other_names.append(b"" if record.file_name == name else record.file_name.encode())

    def _take_lists(self, name: str, lists: "_Lists", number: int, first_row: int) -> list[Defect]:
        """Keep the category lists of the images from ``first_row`` on; unknown ids are defects."""
        labels = self._categories.labels(lists.ids)
        rows = first_row + np.repeat(np.arange(len(lists.counts)), lists.counts)
        known = labels >= 0
        pairs = rows[known] * max(len(self._categories), 1) + labels[known]
        self._lists[name].append(np.unique(pairs))
        return [
            Defect(
                number,
                "image",
                self._ids[rows[index]],
                "unknown_category",
                f"{FIELDS[name]} names category {lists.ids[index]}, which is not in the file",
            )
            for index in np.flatnonzero(~known)
        ]

    def _twice(self, record: ImageRecord, path: Path, others: list[Path]) -> str:
        row = self._row_of[record.id]
        known = self._names[row].decode()
        same = known == record.name
        what = f"the same image {known}" if same else f"there {known}, here {record.name}"
        return (
            f"{path}: image id {record.id} is also in {others[self._sources[row]]} ({what}); "
            "`lvistk convert` merges files into one"
        )

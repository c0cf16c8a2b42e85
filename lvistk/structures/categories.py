"""Categories: the one module in which ``category_id`` and label meet."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvistk.errors import UserError

FREQUENCIES = ("r", "c", "f")
RARE_IMAGES, COMMON_IMAGES = 10, 100
"""LVIS: rare categories have at most 10 images, common ones at most 100 (of its train split)."""


@dataclass(frozen=True, eq=False)
class Categories:
    """C categories in label order, which is that of ascending ids.

    ids: (C,) int64, the ``category_id`` of each label
    names: C strings
    frequency: (C,) of 'r', 'c', 'f', or '' where the file gives none
    image_count, instance_count: (C,) int64, counted on the annotations given to training; the file's own
        count fields are ignored
    annotated_images: images with any annotation; 0 if unknown
    """

    ids: np.ndarray
    names: tuple[str, ...]
    frequency: np.ndarray
    image_count: np.ndarray
    instance_count: np.ndarray
    annotated_images: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def labels(self, category_ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Labels (N,) int64 of category ids (N,); -1 where the id is unknown."""
        wanted = np.asarray(category_ids, dtype=np.int64)
        if not len(self.ids):
            return np.full(wanted.shape, -1, np.int64)
        labels = np.searchsorted(self.ids, wanted).clip(0, len(self.ids) - 1)
        return np.where(self.ids[labels] == wanted, labels, -1)

    def labels_of_names(self, names: Sequence[str]) -> np.ndarray:
        """Labels (K,) int64 of the categories with these names, in any case.

        Raises ``UserError`` for an unknown name.
        """
        known: dict[str, list[int]] = {}
        for label, name in enumerate(self.names):
            known.setdefault(name.casefold(), []).append(label)
        for name in names:
            if name.casefold() not in known:
                close = difflib.get_close_matches(name.casefold(), list(known), n=3, cutoff=0.5)
                mend = f"; near: {', '.join(close)}" if close else ""
                raise UserError(f"no category '{name}' among the {len(self)} of the model{mend}")
        labels = [label for name in names for label in known[name.casefold()]]
        return np.unique(np.array(labels, np.int64))

    def group(self, letter: str) -> np.ndarray:
        """Labels of a frequency group, 'r', 'c' or 'f'."""
        return np.flatnonzero(self.frequency == letter)

    def to_table(self) -> dict[str, Any]:
        """JSON values, for a model's metadata; ``photo_count`` is ``annotated_images``."""
        return {
            "ids": self.ids.tolist(),
            "names": list(self.names),
            "frequency": self.frequency.tolist(),
            "image_count": self.image_count.tolist(),
            "instance_count": self.instance_count.tolist(),
            "photo_count": self.annotated_images,
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Categories":
        """The categories that ``to_table`` wrote."""
        return cls(
            ids=np.asarray(table["ids"], np.int64),
            names=tuple(table["names"]),
            frequency=np.asarray(table["frequency"], dtype="<U1"),
            image_count=np.asarray(table["image_count"], np.int64),
            instance_count=np.asarray(table["instance_count"], np.int64),
            annotated_images=int(table.get("photo_count", 0)),
        )

    def require_same_labels(self, other: "Categories", *, ours: str, theirs: str) -> None:
        """Raise ``UserError`` unless both have the same ids in the same order."""
        if not np.array_equal(self.ids, other.ids):
            missing = np.setdiff1d(other.ids, self.ids)[:3].tolist()
            raise UserError(
                f"{ours} has {len(self)} categories and {theirs} has {len(other)}: different label "
                f"sets (for example ids {missing or np.setdiff1d(self.ids, other.ids)[:3].tolist()}); "
                "use the model and the file that belong together"
            )


def counted_frequency(images: int) -> str:
    """The frequency group of a category with so many images; '' for none."""
    if images == 0:
        return ""
    return "r" if images <= RARE_IMAGES else "c" if images <= COMMON_IMAGES else "f"

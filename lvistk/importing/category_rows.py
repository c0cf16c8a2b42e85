"""Which row of a foreign model's last layers belongs to which of our labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lvistk.errors import UserError
from lvistk.importing.coco_categories import NAMES as COCO_NAMES
from lvistk.importing.coco_categories import coco_categories
from lvistk.structures.categories import Categories

COCO_IDS = len(COCO_NAMES)
Labels = Literal["same", "by_name", "leave_out"]


@dataclass(frozen=True)
class SourceRows:
    """The label set of a foreign model in the order of its rows, background apart.

    ``ids (S,)`` int64, 0 where a row belongs to no category (torchvision's gaps in COCO's ids);
    ``names``, S sets of names that a category goes by.
    """

    ids: np.ndarray
    names: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.ids)


def source_rows(
    number: int,
    *,
    ids: Sequence[int] | None,
    names: Sequence[Sequence[str]] | None,
    needed: bool = True,
) -> SourceRows:
    """The label set of a model with ``number`` categories.

    ids, names: the categories that the user gives, in the order of the rows, each with all its names.
    Without them, or when their number is another, 80 rows are COCO's categories and 90 are COCO's ids.
    needed: whether rows are to be found by it; if not, an unknown label set has no names and no ids.
    """
    if ids is not None and names is not None and len(ids) == number:
        return SourceRows(np.array(ids, np.int64), tuple(map(_normal_names, names)))
    coco = coco_categories()
    if number == len(coco):
        return SourceRows(coco.ids, tuple(_normal_names([name]) for name in coco.names))
    if number == COCO_IDS:
        every_id = np.arange(1, COCO_IDS + 1)
        used = np.isin(every_id, coco.ids)
        return SourceRows(
            np.where(used, every_id, 0), tuple(_normal_names([name]) for name in COCO_NAMES)
        )
    if not needed:
        return SourceRows(np.zeros(number, np.int64), (frozenset(),) * number)
    given = "none were given" if ids is None else f"{len(ids)} were given"
    raise UserError(
        f"the checkpoint has {number} categories and {given}: name the annotation file it was trained "
        "on with --categories, or with --source-categories where the new model's are others"
    )


def rows_of_model(categories: Categories) -> SourceRows:
    """The label set of a model of ours."""
    return SourceRows(categories.ids, tuple(_normal_names([name]) for name in categories.names))


def rows_of_labels(
    source: SourceRows,
    categories: Categories,
    *,
    labels: Labels,
    names: Sequence[Sequence[str]] = (),
) -> np.ndarray:
    """(C,) int64: the foreign row of each of our labels, -1 for a row that starts anew.

    ``same``: every category must be there, by its id. ``by_name``: by any of ``names``, our categories'
    names and synonyms. ``leave_out``: none. Raises ``UserError`` where a category is missing, or where
    no name is in common.
    """
    match labels:
        case "leave_out":
            return np.full(len(categories), -1, np.int64)
        case "same":
            row = {int(id_): number for number, id_ in enumerate(source.ids) if id_ > 0}
            rows = np.array([row.get(int(id_), -1) for id_ in categories.ids], np.int64)
            if (rows < 0).any():
                lost = int(np.flatnonzero(rows < 0)[0])
                raise UserError(
                    f"the checkpoint has no category {categories.ids[lost]} "
                    f"({categories.names[lost]}): {(rows < 0).sum()} of {len(categories)} are missing; "
                    "take over those of the same name by --labels by_name, or none by leave_out"
                )
            _require_agreeing_names(source, categories, rows, names)
            return rows
        case "by_name":
            rows = rows_by_name(source, names)
            if (rows < 0).all():
                raise UserError(
                    "no category of the checkpoint has a name in common with --categories; "
                    "--labels leave_out starts all their rows anew"
                )
            return rows


def _require_agreeing_names(
    source: SourceRows,
    categories: Categories,
    rows: np.ndarray,
    names: Sequence[Sequence[str]],
) -> None:
    """Two label sets may number different things alike, as LVIS and COCO do; a few spellings may differ."""
    other = [
        label
        for label, own in enumerate(names)
        if _normal_names(own).isdisjoint(source.names[rows[label]])
    ]
    if 2 * len(other) > len(rows):
        label = other[0]
        raise UserError(
            f"category {categories.ids[label]} ({categories.names[label]}) is "
            f"'{min(source.names[rows[label]])}' in the checkpoint, and {len(other)} of {len(rows)} names "
            "differ: other label sets; take over rows of the same name by --labels by_name"
        )


def rows_by_name(source: SourceRows, names: Sequence[Sequence[str]]) -> np.ndarray:
    """(C,) int64: the row of each of our categories by any of its ``names``, -1 for none.

    The first name of a category counts before its synonyms, and no row is taken twice.
    """
    row: dict[str, int] = {}
    for number, (id_, known) in enumerate(zip(source.ids, source.names, strict=True)):
        if id_ > 0:
            row |= dict.fromkeys(known, number)
    rows, taken = np.full(len(names), -1, np.int64), set()
    for depth in range(max(map(len, names), default=0)):
        for label, own in enumerate(names):
            number = row.get(_normal(own[depth]), -1) if depth < len(own) else -1
            if rows[label] < 0 <= number and number not in taken:
                rows[label] = number
                taken.add(number)
    return rows


def _normal_names(names: Sequence[str]) -> frozenset[str]:
    return frozenset(map(_normal, names))


def _normal(name: str) -> str:
    """Case, blanks and underscores don't tell names apart; a clarification in brackets does."""
    return name.strip().lower().replace(" ", "_")

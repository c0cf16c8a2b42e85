"""``[row]`` and ``[generate]`` of a pipeline file: a row of a ladder, and the data that it is run on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvistk.config.load import nearest, update
from lvistk.config.row import RowSettings
from lvistk.errors import UserError

if TYPE_CHECKING:
    from lvistk.stages.pipelines.stage_plan import StagePlan

DRAWN = "data"
"""Folder below the pipeline's own that ``[generate]`` draws into."""


def read_row(table: Mapping[str, Any], *, where: str) -> RowSettings | None:
    """The table ``[row]``; None of a file that is no row."""
    if "row" not in table:
        return None
    return update(RowSettings(), table["row"], where=f"{where} [row]")


def read_generate(table: Mapping[str, Any], *, where: str) -> Mapping[str, Any] | None:
    """The table ``[generate]``, checked; None without one."""
    if "generate" not in table:
        return None
    from lvistk.data.synthetic.settings import GenerateSettings  # imports OpenCV

    update(GenerateSettings(), table["generate"], where=f"{where} [generate]")
    return table["generate"]


def drawn_paths(folder: Path) -> dict[str, Any]:
    """``[data]`` of a data set that ``lvistk generate`` has drawn into ``folder``."""
    annotations, pool = folder / "annotations", folder / "openimages"
    return {
        "train": [str(annotations / "train.json")],
        "train_images": str(folder),
        "val": str(annotations / "val.json"),
        "val_images": str(folder),
        "pool": str(pool),
        "pool_list": str(pool / "train-images-with-rotation.csv"),
    }


def needed_stages(
    plans: Sequence["StagePlan"], row: RowSettings, *, root: Path, where: str
) -> list["StagePlan"]:
    """The stages that the row's score needs; the score comes last.

    root: folder of the stage folders. Errors: ``UserError`` where the score is no evaluate stage.
    """
    scores = {plan.name: plan for plan in plans if plan.command == "evaluate"}
    name = row.score or next(reversed(scores), "")
    if name not in scores:
        raise UserError(
            f"{where} [row] score: '{name}' is no evaluate stage{nearest(name, scores)}"
            if scores
            else f"{where} [row]: no evaluate stage, whose scores would be the row's"
        )
    last = scores[name]
    needed = {last.out}
    for plan in reversed(plans):
        if plan.out in needed:
            needed |= {path for path in _paths(plan.inputs) if path.is_relative_to(root)}
    return [*(p for p in plans if p.out in needed and p.out != last.out), last]


def _paths(inputs: Any) -> list[Path]:
    """All paths of an inputs class."""
    values = [getattr(inputs, field.name) for field in dataclasses.fields(inputs)]
    lists = [value if isinstance(value, tuple) else (value,) for value in values]
    return [path for paths in lists for path in paths if path is not None]

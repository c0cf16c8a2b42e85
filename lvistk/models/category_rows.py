"""The rows of a model's last layers that belong to one category each, moved into another label set."""

import re

import numpy as np
import torch
from torch import Tensor

from lvistk.config.model import ModelSettings


def rows_per_category(name: str, settings: ModelSettings) -> int:
    """Rows of the tensor ``name`` for each category; 0 for a tensor that has no such rows."""
    if re.search(r"\.classifier\.(linear\.(weight|bias)|counts\.counts)$", name):
        return 1
    if re.search(r"\.regression\.(weight|bias)$", name) and not settings.box.class_agnostic:
        return 4
    if re.search(r"\.predictor\.(weight|bias)$", name) and not settings.mask.class_agnostic:
        return 1
    return 0


def take_rows(new: Tensor, old: Tensor, rows: np.ndarray, *, source: int, each: int = 1) -> Tensor:
    """``new`` with those rows of ``old`` that its categories have there.

    rows: (C,) the category's number in ``old``, -1 for one that keeps its new rows.
    source: number of categories in ``old``.
    each: rows per category.

    The rows behind those of the categories, such as background's, are all copied.
    """
    result, known = new.clone(), torch.from_numpy(rows >= 0)
    ours = result[: len(rows) * each].unflatten(0, (len(rows), each))
    theirs = old[: source * each].unflatten(0, (source, each)).to(new.dtype)
    ours[known] = theirs[torch.from_numpy(rows[rows >= 0])]
    result[len(rows) * each :] = old[source * each :].to(new.dtype)
    return result

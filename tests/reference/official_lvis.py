"""The official evaluator, lvis-api 0.5.3, as the oracle of exactness.

lvis 0.5.3 on PyPI uses ``np.float``, which numpy removed in 1.24. It is put back here while the
official code
runs, and nowhere else; ``test_workaround_is_needed`` says when this can go.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from lvis import LVIS, LVISEval, LVISResults


@contextlib.contextmanager
def numpy_float() -> Iterator[None]:
    """``np.float`` exists inside the block."""
    there = "float" in vars(np)
    if not there:
        vars(np)["float"] = float
    try:
        yield
    finally:
        if not there:
            del vars(np)["float"]


def official(
    gt_file: str | Path,
    results: str | Path | list[dict],
    iou_type: str,
    *,
    max_detections: int = 300,
) -> LVISEval:
    """The finished official evaluation; ``eval`` has the arrays, ``results`` the scores."""
    logging.disable(logging.WARNING)
    try:
        gt = LVIS(str(gt_file))
        given = str(results) if isinstance(results, Path) else results
        dt = LVISResults(gt, given, max_dets=max_detections)
        evaluation = LVISEval(gt, dt, iou_type)
        with numpy_float():
            evaluation.run()
        return evaluation
    finally:
        logging.disable(logging.NOTSET)

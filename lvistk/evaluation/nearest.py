"""The nearest ground truth instances of every judged detection.

Scores never ask how far a detection is from instances of other categories, or how far below an IoU of 0.5 it
is; an analysis of errors does. So this is a second pass over the detections, for reports only.
"""

from collections.abc import Callable

import numpy as np

from lvistk.evaluation.detections import Against, read_detections
from lvistk.evaluation.ground_truth.arrays import GroundTruthArrays
from lvistk.evaluation.ground_truth.boundaries import no_boundary
from lvistk.evaluation.measure import Options
from lvistk.evaluation.ranges import Ranges
from lvistk.evaluation.sources import Source


def nearest_gts(
    source: Source,
    *,
    masks: bool,
    gt: GroundTruthArrays,
    image_of: Callable[[str], int],
    threads: int,
) -> np.ndarray:
    """(N,) NEAREST for all detections of a source, in the order of the input.

    masks: by mask IoU, else by box IoU
    image_of: the image id that a text in ``image_id`` of results JSON means

    Detections of pairs that are not judged overlap nothing.
    """
    options = Options(
        masks=masks,
        boxes=not masks,
        boundary=False,
        boxed=source.shape.boxes,
        mask_area_is_box=False,
        box_area_is_box=False,
        nearest=True,
    )
    against = Against(gt, no_boundary(), Ranges(()), image_of, "drop", threads)
    return read_detections(source, against=against, options=options).nearest

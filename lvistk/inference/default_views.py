"""Views of a model that nobody has chosen any for: at its training size, or around it."""

import dataclasses
import math

from lvistk.config.inference import PLAIN_MERGE, FreeViewSettings, MergeSettings, ViewSettings
from lvistk.models.model_file import InputSize

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Short edges of many views over the training size; of 800 px these are tta-infer's 400 to 1400."""
LONG_SIDE = 1.75
"""Long edge of many views over the training's; of 1333 px this is tta-infer's 2333."""


def default_views(size: InputSize, *, many: bool) -> ViewSettings:
    """One view at the training size, or ``many``: six sizes around it, each flipped too."""
    if not many:
        return ViewSettings(short_edges=(size.short_edge,), long_edge=size.long_edge)
    edges = tuple(max(1, round(scale * size.short_edge)) for scale in SCALES)
    return ViewSettings(short_edges=edges, long_edge=round(LONG_SIDE * size.long_edge), flip=True)


def chosen_views(given: FreeViewSettings, size: InputSize, *, many: bool) -> ViewSettings:
    """``default_views`` with what is ``given``."""
    views = default_views(size, many=many)
    if given.short_edges:
        views = dataclasses.replace(views, short_edges=given.short_edges, flip=given.flip)
    return dataclasses.replace(
        views,
        long_edge=given.long_edge or views.long_edge,
        flip=views.flip or given.flip,
        valid_ranges=given.valid_ranges,
    )


def default_merge(size: InputSize, *, many: bool) -> MergeSettings:
    """How the detections of ``default_views`` become one set; wanted mask sides follow the size."""
    if not many:
        return PLAIN_MERGE
    solid, middle, thin = (side * size.short_edge / 800 for side in MergeSettings().mask_sides)
    return MergeSettings(mask_sides=(solid, middle, thin))


def with_min_score(merge: MergeSettings, min_score: float) -> MergeSettings:
    """``merge`` without the candidates that cannot end with ``min_score`` or more: no step raises a score
    after the threshold."""
    below = math.nextafter(min_score, 0.0)  # a candidate's score must be above the threshold
    return dataclasses.replace(merge, score_threshold=max(merge.score_threshold, below))

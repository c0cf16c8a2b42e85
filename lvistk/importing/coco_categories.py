"""COCO's 80 categories: the label set of most public detectors. Their ids have gaps, 1 to 90."""

import numpy as np

from lvistk.structures.categories import Categories

_TEXT = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant - "
    "stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe - "
    "backpack umbrella - - handbag tie suitcase frisbee skis snowboard sports_ball kite "
    "baseball_bat baseball_glove skateboard surfboard tennis_racket bottle - wine_glass cup fork "
    "knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair "
    "couch potted_plant bed - dining_table - - toilet - tv laptop mouse remote keyboard cell_phone "
    "microwave oven toaster sink refrigerator - book clock vase scissors teddy_bear hair_drier "
    "toothbrush"
)
NAMES = tuple(_TEXT.split())
"""Of ids 1 to 90 in order; - where no category has the id."""


def coco_categories() -> Categories:
    """The 80 categories, without frequencies and counts."""
    ids = [id_ for id_, name in enumerate(NAMES, start=1) if name != "-"]
    nothing = np.zeros(len(ids), np.int64)
    return Categories(
        ids=np.array(ids, np.int64),
        names=tuple(NAMES[id_ - 1].replace("_", " ") for id_ in ids),
        frequency=np.full(len(ids), "", "<U1"),
        image_count=nothing,
        instance_count=nothing.copy(),
    )

"""A data set as train and val, by image, with rare categories on both sides where possible."""

import random
from collections import defaultdict

from lvistk.data.convert.records import Records, present_categories


def split(records: Records, *, val_share: float, seed: int) -> tuple[Records, Records]:
    """Train and val. Both list all categories.

    Rarest category first, its images that have no side yet are dealt out, so that val holds
    ``val_share`` of them; one of two images or more goes to each side. Frequent categories come
    last and come out right by themselves.
    """
    draw = random.Random(seed)
    images: dict[int, list[int]] = defaultdict(list)
    for image_id, here in present_categories(records).items():
        for category_id in here:
            images[category_id].append(image_id)
    in_val: dict[int, bool] = {}
    for category_id in sorted(images, key=lambda n: (len(images[n]), n)):
        _deal(sorted(images[category_id]), in_val, val_share=val_share, draw=draw)
    empty = [image.id for image in records.images if image.id not in in_val]
    draw.shuffle(empty)
    wanted = round(len(records.images) * val_share) - sum(in_val.values())
    in_val |= {image_id: rank < wanted for rank, image_id in enumerate(empty)}
    return _side(records, in_val, val=False), _side(records, in_val, val=True)


def _deal(
    images: list[int], in_val: dict[int, bool], *, val_share: float, draw: random.Random
) -> None:
    """Give each image of one category that has no side a side."""
    free = [image_id for image_id in images if image_id not in in_val]
    draw.shuffle(free)
    wanted = round(len(images) * val_share)
    if len(images) > 1:
        wanted = min(max(wanted, 1), len(images) - 1)
    missing = wanted - sum(in_val.get(image_id, False) for image_id in images)
    for rank, image_id in enumerate(free):
        in_val[image_id] = rank < missing


def _side(records: Records, in_val: dict[int, bool], *, val: bool) -> Records:
    chosen = {image_id for image_id, side in in_val.items() if side == val}
    return Records(
        images=[image for image in records.images if image.id in chosen],
        annotations=[a for a in records.annotations if a.image_id in chosen],
        categories=records.categories,
    )

"""Folds of the training images: the same ones for a teacher's training and for what it labels afterwards."""

import numpy as np

from lvistk.errors import UserError


def in_fold(image_ids: np.ndarray, fold: str) -> np.ndarray:
    """Whether each image (I,) belongs to a fold such as ``1/3``, the first of three: bool (I,).

    An image's fold is a hash of its id, so it does not depend on the other images. ``UserError`` for 4/3.
    """
    number, count = (int(one) for one in fold.split("/"))
    if number > count:
        raise UserError(
            f"fold = {fold}: there are {count} folds; write 1/{count} to {count}/{count}"
        )
    return fold_numbers(image_ids, count) == number - 1


def fold_numbers(image_ids: np.ndarray, count: int) -> np.ndarray:
    """The fold (I,) int64 in 0..count-1 of each image: splitmix64 of its id, modulo ``count``."""
    state = np.asarray(image_ids, np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state % np.uint64(count)).astype(np.int64)

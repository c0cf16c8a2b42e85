"""A detector of a second to build, and its categories."""

import dataclasses
from typing import Any

import numpy as np

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.structures.categories import Categories

SMALL: dict[str, Any] = {
    "backbone": {"name": "resnet18", "width": 0.125, "norm": "gn", "frozen_stages": 0},
    "fpn": {"channels": 16},
    "box": {"fc_channels": 16, "class_agnostic": True},
    "mask": {"channels": 16, "convs": 1},
}


def small_settings(**changes: Any) -> ModelSettings:
    """Settings of a narrow network; ``changes`` are tables of further ones."""
    base = update(ModelSettings(), SMALL, where="small")
    return update(base, changes, where="test")


def categories(*instances: int) -> Categories:
    """One category for each number of training instances."""
    counts = np.array(instances, np.int64)
    return Categories(
        ids=np.arange(1, len(counts) + 1),
        names=tuple(f"c{i}" for i in range(len(counts))),
        frequency=np.array(["f"] * len(counts), "<U1"),
        image_count=counts,
        instance_count=counts,
        annotated_images=int(counts.sum()),
    )


def recounted(known: Categories, *instances: int) -> Categories:
    """The same labels with other counts."""
    counts = np.array(instances, np.int64)
    return dataclasses.replace(known, image_count=counts, instance_count=counts)

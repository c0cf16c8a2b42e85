"""Steps of one stage, with the process's peak memory: run by test_finetune_memory.

Argument: a key of ``RUNS``. 1203 categories, two images of 480 x 640, 128 positive RoIs an image.
"""

import json
import resource
import sys
import time
from typing import Any

import numpy as np
import torch

from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.config.train import OptimSettings
from lvistk.engine.optimizer import build_optimizer
from lvistk.models.build import build_model
from lvistk.models.freeze import freeze
from lvistk.models.rpn import Proposals
from lvistk.stages.specifications.finetune import UPGRADES
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets
from tests.bench.train_step import (
    INSTANCES,
    categories_of,
    some_gt,
    some_proposals,
    targets_of,
)

HEIGHT, WIDTH, IMAGES = 480, 640, 2
GROUPS = {"classifier": {"kind": "group_softmax"}}
REPRESENTATION = ("backbone", "neck", "rpn")
RUNS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "stage 1": ({}, ()),
    "group softmax alone": (GROUPS, (*REPRESENTATION, "box_features", "box_regression", "mask")),
    "group softmax, RoI heads train": (GROUPS, REPRESENTATION),
    "all parts": (UPGRADES, REPRESENTATION),
}


def long_tail() -> Categories:
    """As many categories in each group as LVIS v1 has: 200, 412, 334, 257."""
    return categories_of(np.repeat([5, 50, 500, 5000], [200, 412, 334, 257]))


def targets_and_proposals() -> tuple[list[Targets], list[Proposals]]:
    targets, proposals = [], []
    ratios = torch.linspace(0.1, 1.0, INSTANCES)
    for image in range(IMAGES):
        boxes, labels = some_gt(image)
        targets.append(targets_of(boxes, labels, area_ratio=ratios, seed=image))
        near = some_proposals(boxes, image)
        proposals.append(Proposals(near, near.new_zeros(len(near))))
    return targets, proposals


def main() -> None:
    changes, frozen = RUNS[sys.argv[1]]
    torch.manual_seed(0)
    model = build_model(update(ModelSettings(), changes, where="bench"), long_tail()).train()
    freeze(model, frozen)
    optimizer = build_optimizer(model, OptimSettings(lr=1e-4))
    targets, proposals = targets_and_proposals()
    propose = model.rpn.propose

    def forced(*args: Any, **keywords: Any) -> list[Proposals]:
        propose(*args, **keywords)  # its cost counts, its boxes are replaced
        return proposals

    model.rpn.propose = forced
    images = torch.randint(0, 256, (IMAGES, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    batch = ImageBatch(images, torch.tensor([[HEIGHT, WIDTH]] * IMAGES))
    seconds = []
    for _ in range(int(sys.argv[2]) + 1):  # the first warms up
        start = time.perf_counter()
        torch.stack(list(model(batch, targets).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": float(np.median(seconds[1:])), "peak_gib": peak}))


if __name__ == "__main__":
    main()

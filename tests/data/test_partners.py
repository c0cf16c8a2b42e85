"""Which images a mosaic is made of: drawn by repeat factor, or uniformly."""

import json
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from lvistk.config.train import AugmentSettings, SamplerSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.data.training.samplers import SampleKey

SIDE, COMMON, RARE = 16, 7, 8
DRAWS = 120


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[AnnotationIndex, Path]:
    """Sixteen images, each filled by one object: the last one's category is in no other."""
    root = tmp_path_factory.mktemp("images")
    (root / "train2017").mkdir()
    images, annotations = [], []
    for n in range(1, 17):
        name = f"{n:012d}.jpg"
        cv2.imwrite(str(root / "train2017" / name), np.full((SIDE, SIDE, 3), 10 * n, np.uint8))
        images.append(
            {
                "id": n,
                "height": SIDE,
                "width": SIDE,
                "coco_url": f"http://images.cocodataset.org/train2017/{name}",
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
            }
        )
        annotations.append(
            {
                "id": n,
                "image_id": n,
                "category_id": RARE if n == 16 else COMMON,
                "bbox": [0, 0, SIDE, SIDE],
                "area": SIDE * SIDE,
                "segmentation": [[0, 0, SIDE, 0, SIDE, SIDE, 0, SIDE]],
            }
        )
    categories = [{"id": c, "name": f"c{c}", "frequency": "f"} for c in (COMMON, RARE)]
    table = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(table))
    return AnnotationIndex.open([root / "train.json"], cache=root / "cache"), root


def share_of_rare(
    index: AnnotationIndex, root: Path, *, partners: Literal["repeat_factor", "uniform"]
) -> float:
    """Share of mosaic partners that are the rare image, in samples of the first image."""
    settings = DataSettings(
        augment=AugmentSettings(
            short_edges=(SIDE,),
            mosaic_probability=1.0,
            mosaic_size=(2 * SIDE, 2 * SIDE),
            min_kept=0.0,
            min_area=0.0,
            mosaic_partners=partners,
        ),
        sampler=SamplerSettings(repeat="stochastic", repeat_fraction=1.0),
    )
    data = TrainingData(index, root, settings=settings)
    labels = [data.sample(SampleKey(0, k, 0, 0)).targets.labels.tolist() for k in range(DRAWS)]
    assert all(len(of_one) == 4 for of_one in labels)
    return sum(of_one.count(1) for of_one in labels) / (3 * DRAWS)


def test_mosaic_partners_follow_the_repeat_factors(data_set: tuple[AnnotationIndex, Path]) -> None:
    """t = 1: the rare image's factor is sqrt(16 / 1) = 4, each other's sqrt(16 / 15).

    The standard deviation of the share over 360 draws is .02.
    """
    expected = 4 / (4 + 15 * (16 / 15) ** 0.5)  # .205
    assert abs(share_of_rare(*data_set, partners="repeat_factor") - expected) < 0.06


def test_mosaic_partners_are_uniform_on_demand(data_set: tuple[AnnotationIndex, Path]) -> None:
    assert abs(share_of_rare(*data_set, partners="uniform") - 1 / 16) < 0.04

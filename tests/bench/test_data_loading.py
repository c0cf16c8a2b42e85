"""Training samples per second on one core beside detectron2's mapper, and what a mask target costs.

Set PYTHONPATH so that ``detectron2`` can be imported to run the peer; its compiled part is not needed.
"""

import json
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lvistk.config.train import AugmentSettings, SamplerSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.training.dataset import DataSettings, TrainingData
from lvistk.data.training.samplers import SampleKey
from lvistk.structures.image_batch import ImageBatch
from tests.reference.geometry import polygon_in_roi
from tests.shared_data import REALDATA, needs_realdata

pytestmark = [pytest.mark.bench, needs_realdata]
FILE = REALDATA / "annotations" / "lvis_v1_real_train.json"
IMAGES = REALDATA / "images"
SHORT_EDGES = (640, 672, 704, 736, 768, 800)
PASSES = 5
needs_peer = pytest.mark.skipif(find_spec("detectron2") is None, reason="detectron2: not installed")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> AnnotationIndex:
    return AnnotationIndex.open([FILE], cache=tmp_path_factory.mktemp("index"))


def training_data(index: AnnotationIndex, **augment: Any) -> TrainingData:
    settings = DataSettings(AugmentSettings(**augment), SamplerSettings(repeat="none"))
    return TrainingData(index, IMAGES, settings=settings)


def rates(runs: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Samples a CPU second on one thread, the best of some passes in turns (a busy machine slows all)."""
    best = dict.fromkeys(runs, 0.0)
    for turn in range(PASSES + 1):
        for name, run in runs.items():
            started = time.process_time()
            count = run()
            if turn:
                best[name] = max(best[name], count / (time.process_time() - started))
    return best


def all_samples(data: TrainingData) -> Callable[[], int]:
    def run() -> int:
        for k in range(len(data.sources[0])):
            ImageBatch.stack([data.sample(SampleKey(0, k, 0, k)).image])
        return len(data.sources[0])

    return run


def detectron2_mapper(short_edges: tuple[int, ...], *, flip: float) -> tuple[Any, list[dict]]:
    """detectron2's LVIS recipe (Base-RCNN-FPN and LVISv1 configurations), and its records of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own
        from detectron2.data import transforms as T
        from detectron2.data.dataset_mapper import DatasetMapper
        from detectron2.structures import BoxMode
    table = json.loads(FILE.read_text())
    labels = {c["id"]: n for n, c in enumerate(sorted(table["categories"], key=lambda c: c["id"]))}
    records = {
        image["id"]: {
            "file_name": str(IMAGES.joinpath(*image["coco_url"].split("/")[-2:])),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": [],
        }
        for image in table["images"]
    }
    for a in table["annotations"]:
        records[a["image_id"]]["annotations"].append(
            {
                "bbox": a["bbox"],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": labels[a["category_id"]],
                "segmentation": a["segmentation"],
            }
        )
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[
            T.ResizeShortestEdge(short_edges, 1333, "choice"),
            T.RandomFlip(prob=flip) if flip else T.NoOpTransform(),
        ],
        image_format="BGR",
        use_instance_mask=True,
        instance_mask_format="polygon",
    )
    return mapper, list(records.values())


@needs_peer
def test_the_lvis_recipe_is_half_as_fast_again_as_detectron2(index: AnnotationIndex) -> None:
    mapper, records = detectron2_mapper(SHORT_EDGES, flip=0.5)

    def peer() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peer's own
            for record in records:
                mapper(record)
        return len(records)

    found = rates(
        {
            "lvistk": all_samples(training_data(index)),
            "lvistk, boxes as envelopes": all_samples(training_data(index, tight_boxes=False)),
            "detectron2": peer,
        }
    )
    print(found)
    assert found["lvistk"] >= 1.5 * found["detectron2"]


@needs_peer
def test_the_boxes_are_detectron2s(index: AnnotationIndex) -> None:
    mapper, records = detectron2_mapper((704,), flip=0.0)
    for tight, tolerance in ((False, 1e-3), (True, 0.05)):
        data = training_data(
            index, short_edges=(704,), flip=0.0, tight_boxes=tight, min_area=0.0, min_kept=0.0
        )
        for record in records:
            row = index.index_of(record["image_id"])
            ours = data.sample(SampleKey(0, 0, 0, row))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the peer's own
                theirs = mapper(record)
            assert ours.image.shape == theirs["image"].shape
            boxes = theirs["instances"].gt_boxes.tensor
            torch.testing.assert_close(ours.targets.boxes, boxes, atol=tolerance, rtol=0)
            off = ours.image.flip(0).int() - theirs["image"].int()  # cv2's and PIL's resize
            assert off.abs().float().mean() < 6


def test_mosaic_with_rotation_makes_25_samples_per_second(index: AnnotationIndex) -> None:
    settings = {"mosaic_probability": 1.0, "rotate_probability": 1.0, "mosaic_size": (1280, 1280)}
    found = rates({"mosaic and rotation": all_samples(training_data(index, **settings))})
    print(found)
    assert found["mosaic and rotation"] >= 25


def test_further_augmentation(index: AnnotationIndex) -> None:
    runs = {
        "colour": {"colour": 0.5},
        "InstaBoost": {"instaboost_probability": 1.0},
        "copy-paste": {"copy_paste_probability": 1.0},
        "400 to 1400": {"short_edges": (400, 1400), "short_edge_mode": "range", "long_edge": 1600},
        "short edge 128": {"short_edges": (128,)},
    }
    print(rates({name: all_samples(training_data(index, **s)) for name, s in runs.items()}))


def test_mask_targets(index: AnnotationIndex) -> None:
    """128 RoIs an image at 28 x 28: per RoI with pycocotools, compiled, and from frames of each instance."""
    data = training_data(index, short_edges=(800,), flip=0.0)
    rng = np.random.default_rng(0)
    images = []
    for row in range(0, len(index), 4):
        targets = data.sample(SampleKey(0, row, 0, row)).targets
        if not len(targets):
            continue
        matched = rng.integers(len(targets), size=128)
        boxes = targets.boxes.numpy()[matched]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        rois = (boxes + rng.normal(0, 0.1, boxes.shape) * sides).astype(np.float32)
        rois[:, 2:] = np.maximum(rois[:, 2:], rois[:, :2] + 0.5)
        points, parts = targets.masks.points.numpy(), targets.masks.part_start.numpy()
        owner = targets.masks.instance_start.numpy()
        lists = [
            [points[parts[p] : parts[p + 1]] for p in range(owner[g], owner[g + 1])]
            for g in range(len(targets))
        ]
        images.append((targets.masks, torch.from_numpy(matched), torch.from_numpy(rois), lists))
    frames = [masks.frames() for masks, *_ in images]

    def with_pycocotools() -> list[np.ndarray]:
        return [
            np.stack(
                [polygon_in_roi(lists[i], box, 28) for i, box in zip(m, r.numpy(), strict=True)]
            )
            for _, m, r, lists in images
        ]

    def compiled() -> list[np.ndarray]:
        return [masks.crop(m, r, 28).numpy() for masks, m, r, _ in images]

    def draw_frames() -> list[Any]:
        return [masks.frames() for masks, *_ in images]

    def resample() -> list[np.ndarray]:
        return [f.crop(m, r, 28).numpy() for f, (_, m, r, _) in zip(frames, images, strict=True)]

    def counted(run: Callable[[], list]) -> Callable[[], int]:
        return lambda: len(run()) * 128

    found = rates(
        {r.__name__: counted(r) for r in (with_pycocotools, compiled, draw_frames, resample)}
    )
    print({name: f"{1e6 / rate:.1f} us an RoI" for name, rate in found.items()})
    exact, twin = np.concatenate(compiled()), np.concatenate(with_pycocotools())
    np.testing.assert_array_equal(exact, twin)
    for side in (56, 112, 168):
        crops = [m.frames(side).crop(c, r, 28).numpy() for m, c, r, _ in images]
        quick = np.concatenate(crops)
        union = np.maximum(exact, quick).sum((1, 2))
        iou = np.minimum(exact, quick).sum((1, 2))[union > 0] / union[union > 0]
        print(f"frames of {side}: mean IoU {iou.mean():.4f}, pixels {(exact == quick).mean():.4f}")
    assert found["compiled"] > 3 * found["with_pycocotools"]

"""Seconds per image at inference of Mask R-CNN R50 with 1203 classes: lvistk in one view, and torchvision."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.inference.image_batches import Image, ImagesInViews
from lvistk.inference.predict import Predictor
from lvistk.inference.views import geometry, plan_views
from lvistk.models.build import build_model
from lvistk.structures.image_batch import ImageBatch
from tests.bench.train_step import CATEGORIES, categories_of

PRECISIONS = ("fp32", "bf16")


def seconds(run: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Of the fastest call; on a GPU after two that warm up."""
    best, warm_ups = float("inf"), 2 if device.type == "cuda" else 0
    for number in range(warm_ups + repeats):
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number >= warm_ups:
            best = min(best, time.perf_counter() - started)
    return best


def ours(size: tuple[int, int], device: torch.device, precision: str) -> Callable[[], object]:
    """Boxes, NMS, masks and RLE of one image of noise."""
    settings = update(ModelSettings(), {"classifier": {"kind": "softmax"}}, where="bench")
    model = build_model(settings, categories_of(np.full(CATEGORIES, 200))).eval().to(device)
    views = plan_views(ViewSettings(short_edges=(size[0],), long_edge=size[1], flip=False))
    merge = MergeSettings(score_threshold=0.0, nms_iou=0.5, soft_nms="none", mask_source="found")
    predict = update(PredictSettings(), {"precision": precision}, where="bench")
    predictor = Predictor(model, views, merge, predict, device)
    batch = ImagesInViews(
        images=[Image(0, Path(), size)],
        indices=[0],
        sizes=[size],
        views=[ImageBatch.stack([torch.randint(0, 256, (3, *size), dtype=torch.uint8)])],
        geometries=[[geometry(views[0], size)]],
        left_out={},
    )
    return lambda: predictor.detect(batch)


def theirs(size: tuple[int, int], device: torch.device, precision: str) -> Callable[[], object]:
    """The same of torchvision, with masks pasted into the image; they stay on the device."""
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CATEGORIES + 1,
        min_size=size[0],
        max_size=size[1],
        box_score_thresh=0.0,
        box_detections_per_img=300,
    )
    model = model.eval().to(device)
    image = torch.rand(3, *size).to(device)

    def run() -> object:
        half = precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            return model([image])

    return run


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument(
        "--precision", action="append", choices=PRECISIONS, help="both if not given"
    )
    return parser


def main() -> None:
    given = arguments().parse_args()
    torch.manual_seed(0)
    device, size = torch.device(given.device), (given.height, given.width)
    measured = {
        f"{name}, {precision}": seconds(
            make(size, device, precision), device, repeats=given.repeats
        )
        for precision in given.precision or PRECISIONS
        for name, make in (("lvistk", ours), ("torchvision", theirs))
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()

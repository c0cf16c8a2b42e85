"""From an image file to lines of JSON, by one model, timed, with the process's peak memory.

    python -m tests.bench.whole_inference ours --short-edges 480 --repeats 3

Mask R-CNN R50 of 1203 categories with the same drawn weights in lvistk and in torchvision, 300 detections,
threshold .0001: the file is decoded, boxes and masks are detected, masks become RLE in the image's size, and
the records of LVIS results become text.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from torchvision.io import ImageReadMode, decode_image
from torchvision.models.detection import maskrcnn_resnet50_fpn

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.config.load import update
from lvistk.config.model import ModelSettings
from lvistk.data.exchange.result_records import box_records_of, mask_records_of
from lvistk.importing.parameter_names import rows_from_torchvision, translate
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.views import plan_views
from lvistk.masks import rle
from lvistk.models.build import build_model
from tests.bench.train_step import CATEGORIES, categories_of

DETECTIONS, THRESHOLD = 300, 1e-4
LIKE_TORCHVISION = {
    "rpn": {"rounded_anchors": True, "pre_nms_test": 1000, "post_nms_test": 1000},
    "box": {"aligned": False, "sampling_ratio": 2},
    "mask": {"sampling_ratio": 2},
    "classifier": {"kind": "softmax"},
}


def write_image(path: Path, size: tuple[int, int]) -> None:
    """Blobs of all colours as a JPEG of this height and width."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def peer(short_edge: int, long_edge: int) -> torchvision.models.detection.MaskRCNN:
    """torchvision's model with weights whose scores and masks spread as a trained model's."""
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CATEGORIES + 1,
        min_size=short_edge,
        max_size=long_edge,
        box_score_thresh=THRESHOLD,
        box_detections_per_img=DETECTIONS,
    )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 0.5)
    spread_scores(model.eval())
    return model


@torch.no_grad()
def spread_scores(model: torchvision.models.detection.MaskRCNN) -> None:
    """Scale the layer of scores so that logits deviate by 4 within an RoI: a tenth of all pairs of RoI and
    category score above the threshold, as in ``test_inference``'s peaked case."""
    layer = model.roi_heads.get_submodule("box_predictor.cls_score")
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, logits: seen.append(logits))
    model.roi_heads.score_thresh = 2.0  # detects nothing
    model([torch.rand(3, 160, 224)])
    model.roi_heads.score_thresh = THRESHOLD
    hook.remove()
    layer.weight.mul_(4 / seen[0].std(dim=1).mean())


def theirs(path: Path, views: ViewSettings) -> Callable[[], str]:
    model = peer(int(views.short_edges[0]), views.long_edge)

    @torch.inference_mode()
    def run() -> str:
        image = decode_image(str(path), ImageReadMode.RGB) / 255
        (found,) = model([image])
        size = list(image.shape[1:])
        masks = [rle.encode(mask[0].numpy() >= 0.5) for mask in found["masks"]]
        boxes = found["boxes"]
        xywh = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()
        labels, scores = found["labels"].tolist(), found["scores"].tolist()
        common = [
            {"image_id": 1, "category_id": label, "score": score}
            for label, score in zip(labels, scores, strict=True)
        ]
        segm = [
            {**one, "segmentation": {"size": size, "counts": mask.decode("ascii")}}
            for one, mask in zip(common, masks, strict=True)
        ]
        bbox = [{**one, "bbox": box} for one, box in zip(common, xywh, strict=True)]
        return json.dumps(segm) + json.dumps(bbox)

    return run


def ours(path: Path, views: ViewSettings, *, feature_memory_mb: int) -> Callable[[], str]:
    weights: dict[str, torch.Tensor] = {}
    for name, value in peer(800, 1333).state_dict().items():
        own = translate(name, "torchvision")
        if own is not None and not name.endswith("num_batches_tracked"):
            weights[own] = rows_from_torchvision(name, value)
    settings = update(ModelSettings(), LIKE_TORCHVISION, where="bench")
    model = build_model(settings, categories_of(np.full(CATEGORIES, 200))).eval()
    model.load_state_dict(weights, strict=False)
    one_view = len(views.short_edges) == 1 and not views.flip
    merge = MergeSettings(
        score_threshold=THRESHOLD,
        nms_iou=0.5,
        soft_nms="none",
        max_detections=DETECTIONS,
        mask_source="found" if one_view else "selected",
    )
    predict = PredictSettings(batch_size=1, workers=0, feature_memory_mb=feature_memory_mb)
    predictor = Predictor(model, plan_views(views), merge, predict, torch.device("cpu"))
    ids = np.arange(1, CATEGORIES + 1)

    def run() -> str:
        (found,) = predictor.run([Image(1, path)])
        return json.dumps([*mask_records_of(found, ids)]) + json.dumps(
            [*box_records_of(found, ids)]
        )

    return run


def seconds(run: Callable[[], str], repeats: int) -> tuple[float, int]:
    """Processor seconds of the fastest call after one, and how many records its text has.

    repeats: calls after the first; without any, the first one counts.
    """
    best = float("inf")
    text = run() if repeats else ""
    for _ in range(max(repeats, 1)):
        started = time.process_time()
        text = run()
        best = min(best, time.process_time() - started)
    return best, text.count('"image_id"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=["ours", "torchvision"])
    parser.add_argument("--short-edges", type=float, nargs="+", default=[800.0])
    parser.add_argument("--long-edge", type=int, default=1333)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--size", type=int, nargs=2, default=[480, 640], help="of the image file")
    parser.add_argument("--feature-memory-mb", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    views = ViewSettings(tuple(given.short_edges), long_edge=given.long_edge, flip=given.flip)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.jpg"
        write_image(path, tuple(given.size))
        if given.model == "ours":
            run = ours(path, views, feature_memory_mb=given.feature_memory_mb)
        else:
            run = theirs(path, views)
        best, records = seconds(run, given.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": round(best, 3), "records": records, "peak_mb": peak}))


if __name__ == "__main__":
    main()

"""Detections after the model: candidates to boxes, masks to RLE; beside the peers, on one thread."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.detection.roi_heads import paste_masks_in_image as torchvision_paste
from torchvision.ops import batched_nms

from lvistk.config.inference import MergeSettings
from lvistk.inference.candidates import Candidates, cut_candidates
from lvistk.inference.merge import merge_candidates
from lvistk.inference.views import View, geometry
from lvistk.masks import rle
from lvistk.masks.paste import paste_masks

try:
    from detectron2.layers.mask_ops import paste_masks_in_image as detectron2_paste
except ImportError:
    detectron2_paste = None

pytestmark = pytest.mark.bench
SIZE = (480, 640)
PLAIN = MergeSettings(nms_iou=0.5, soft_nms="none")


def seconds(function: Callable[[], object], *, repeats: int = 5) -> float:
    """Median time of a call after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def box_output(sharpness: float, categories: int = 1203, proposals: int = 1000):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(proposals, categories + 1, generator=generator) * sharpness
    corner = torch.rand(proposals, 1, 2, generator=generator) * 350
    side = torch.rand(proposals, 1, 2, generator=generator) * 100 + 10
    boxes = torch.cat([corner, corner + side], 2).expand(-1, categories, -1)
    jitter = torch.randn(boxes.shape, generator=generator)
    return (boxes + jitter).contiguous(), logits.softmax(1)[:, :-1].contiguous()


def plain_torchvision(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Threshold, class-wise NMS, top 300, as torchvision's and detectron2's heads do."""
    rows, labels = torch.nonzero(scores > 1e-4, as_tuple=True)
    keep = batched_nms(boxes[rows, labels], scores[rows, labels], labels, 0.5)[:300]
    return scores[rows, labels][keep]


@pytest.mark.parametrize("sharpness", [1.0, 4.0], ids=["flat scores", "peaked scores"])
def test_boxes_of_1000_proposals_and_1203_categories(sharpness: float) -> None:
    boxes, scores = box_output(sharpness)
    view = View(480, 9999)

    def ours():
        found = cut_candidates(
            boxes,
            scores,
            geometry=geometry(view, SIZE),
            view=view,
            number=0,
            threshold=1e-4,
            limit=10_000,
            factors=torch.ones(scores.shape[1]),
        )
        return merge_candidates(found, settings=PLAIN)

    peer = plain_torchvision(boxes, scores)
    np.testing.assert_array_equal(ours().scores, peer.numpy())
    own = seconds(ours)
    started = time.perf_counter()
    plain_torchvision(boxes, scores)
    other = time.perf_counter() - started
    print(
        f"\n1000 x 1203 pairs, {int((scores > 1e-4).sum())} above 1e-4, to 300 boxes: lvistk "
        f"{1e3 * own:.1f} ms, torchvision {torchvision.__version__} batched_nms {1e3 * other:.0f} ms"
    )
    assert own < other


def test_merging_a_million_candidates() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 500, (1_000_000, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 150, corner.shape)], 1)
    found = Candidates(
        boxes.astype(np.float32),
        (rng.random(len(boxes)) ** 4).astype(np.float32),
        rng.integers(0, 1203, len(boxes)).astype(np.int32),
        np.zeros(len(boxes), np.int32),
    )
    for name, settings in (
        ("NMS .5, 300 kept", PLAIN),
        ("NMS .7 and Gaussian Soft-NMS, 300 kept", MergeSettings()),
        ("NMS .7 and Gaussian Soft-NMS, 1000 kept", MergeSettings(max_detections=1000)),
    ):
        time_taken = seconds(
            lambda settings=settings: merge_candidates(found, settings=settings),
            repeats=3,
        )
        print(f"\n1,000,000 candidates, 1203 categories, {name}: lvistk {1e3 * time_taken:.0f} ms")
        assert time_taken < 1.5


def mask_output(number: int = 300):
    rng = np.random.default_rng(0)
    coarse = torch.tensor(rng.random((number, 1, 6, 6)), dtype=torch.float32)
    probs = F.interpolate(coarse, size=(28, 28), mode="bicubic")[:, 0].clamp(0, 1)
    corner = rng.uniform(-20, (SIZE[1], SIZE[0]), (number, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 250, (number, 2))], 1)
    boxes = np.clip(boxes, 0, [SIZE[1], SIZE[0]] * 2).astype(np.float32)
    return probs, boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]


def test_masks_of_300_detections() -> None:
    probs, boxes = mask_output()
    probs = probs[: len(boxes)]
    own = seconds(lambda: paste_masks(probs.numpy(), boxes, size=SIZE))
    boxes_tensor = torch.from_numpy(boxes)

    def peer():
        pasted = torchvision_paste(probs[:, None], boxes_tensor, SIZE)
        return [rle.encode(bitmap[0].numpy() >= 0.5) for bitmap in pasted]

    other = seconds(peer, repeats=3)
    print(
        f"\n{len(boxes)} masks at 640 x 480 into RLE: lvistk {1e3 * own:.1f} ms, torchvision "
        f"{torchvision.__version__} {1e3 * other:.0f} ms",
        end="",
    )
    assert own * 4 < other
    if detectron2_paste is None:
        print(", detectron2 is not installed")
        return

    def detectron2():
        pasted = detectron2_paste(probs, boxes_tensor, SIZE)
        return [rle.encode(bitmap.numpy()) for bitmap in pasted]

    print(f", detectron2 {1e3 * seconds(detectron2, repeats=3):.0f} ms")
    same = [
        a == b
        for a, b in zip(detectron2(), paste_masks(probs.numpy(), boxes, size=SIZE), strict=True)
    ]
    print(f"{sum(same)} of {len(same)} masks are the same bytes as detectron2's")

"""The graph that ONNX files hold gives what inference gives, in torch and, if installed, in onnxruntime."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.config.inference import PLAIN_MERGE, ViewSettings
from lvistk.data.images.decode import read_image
from lvistk.errors import UserError
from lvistk.inference.onnx.check import Agreement, Given, OnnxModel, check_onnx, detected
from lvistk.inference.onnx.check import network_input as as_input
from lvistk.inference.onnx.graph import OnnxDetector
from lvistk.inference.onnx.tracing import nms_by_group
from lvistk.inference.onnx.write import KEY, detector_of, write_onnx
from lvistk.inference.views import plan_views
from lvistk.models.deform_roi_pool import DeformRoIPool
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import InputSize
from tests.inference.colours import paint, write
from tests.models.build_small import ALL_MASK_PARTS, HTC, small_model

SOFTMAX = {"classifier": {"kind": "softmax"}}
GROUPS = {"classifier": {"kind": "group_softmax"}}
DEFORMED = {"backbone": {"deform": "v2", "deform_stages": [4, 5]}}
KINDS = {
    "plain": (SOFTMAX,),
    "every mask part": (SOFTMAX, ALL_MASK_PARTS, {"canonical_size": 8.0}),
    "cascade": (HTC, GROUPS),
    "deformed": (DEFORMED, SOFTMAX),
    "boxes alone": (SOFTMAX, {"mask": {"enabled": False}}),
}
MERGE = dataclasses.replace(PLAIN_MERGE, score_threshold=0.01, max_detections=15)
VIEW = plan_views(ViewSettings(short_edges=(96,), long_edge=160))[0]
SIZES = ((96, 130), (120, 100), (200, 340))


def detector_for(kind: str) -> OnnxDetector:
    """A small model whose offsets and boundary features are not all zero, as they start, and whose masks are
    not all near one half."""
    model = small_model(*KINDS[kind])
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    for name, parameter in model.named_parameters():
        if "mask.stages" in name and name.endswith("head.predictor.weight"):
            parameter.data *= 1000
    return detector_of(model, MERGE)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{k}.png", paint(*size)) for k, size in enumerate(SIZES)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_graph_is_inference(kind: str, images: list[Path]) -> None:
    detector, agreement = detector_for(kind), Agreement()
    for path in images:
        pixels, size = as_input(read_image(path), view=VIEW, size=None)
        with torch.inference_mode():
            outputs = detector(torch.from_numpy(pixels), torch.tensor(size))
        boxes, scores, labels, *rest = (output.numpy() for output in outputs)
        agreement.add(
            detected(detector, path, VIEW), Given(boxes, scores, labels, rest[0] if rest else None)
        )
    assert agreement.detections > 20, agreement.text()
    assert agreement.unmatched <= 1, agreement.text()  # the last place may go to another
    assert agreement.score < 1e-4 and agreement.box < 1e-2, agreement.text()
    assert agreement.mask > 0.99, agreement.text()


def test_mask_scores(images: list[Path]) -> None:
    detector = detector_for("every mask part")
    pixels, size = as_input(read_image(images[0]), view=VIEW, size=None)
    with torch.inference_mode():
        outputs = detector(torch.from_numpy(pixels), torch.tensor(size))
    assert len(outputs) == 5 and outputs[4].shape == outputs[1].shape


def test_pixels_beyond_the_size_do_not_count(images: list[Path]) -> None:
    """Whatever fills the canvas around an image, its detections are the same."""
    detector = detector_for("plain")
    pixels, size = as_input(read_image(images[0]), view=VIEW, size=(128, 160))
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8)
    noise[:, : size[0], : size[1]] = pixels[:, : size[0], : size[1]]
    with torch.inference_mode():
        clean, noisy = (detector(torch.from_numpy(p), torch.tensor(size)) for p in (pixels, noise))
    for a, b in zip(clean, noisy, strict=True):
        torch.testing.assert_close(a, b)
    assert clean[0][:, 3].max() <= size[0] and clean[0][:, 2].max() <= size[1]


@pytest.mark.parametrize("modulated", [False, True])
def test_deformable_pooling_by_bins(modulated: bool) -> None:
    """Small and large, long and flat RoIs, so that every number of samples comes."""
    from lvistk.inference.onnx.pooling import pool

    torch.manual_seed(0)
    pooler = DeformRoIPool(3, 14, strides=(4, 8), max_ratio=6, modulated=modulated, hidden=16)
    torch.nn.init.normal_(pooler.offsets[-1].weight, std=2.0)
    features = [torch.randn(1, 3, 100, 120), torch.randn(1, 3, 50, 60)]
    low = torch.rand(30, 2) * 200
    boxes = torch.cat([low, low + 4 + torch.rand(30, 2) * torch.tensor([400.0, 250.0])], dim=1)
    rois = torch.cat([torch.zeros(30, 1), boxes], dim=1)
    levels = torch.arange(30) % 2
    with torch.no_grad():
        torch.testing.assert_close(
            pool(pooler, features, rois, levels),
            pooler(features, rois, levels),
            atol=1e-4,
            rtol=1e-4,
        )


def test_nms_by_group_is_nms_in_each_group() -> None:
    """1203 groups on one board: as exact as group after group."""
    from torchvision.ops import nms

    generator = torch.Generator().manual_seed(0)
    low = torch.rand(600, 2, generator=generator) * 700
    shift = torch.zeros(600, 2)
    shift[:, 0] = 2 + 0.02 * torch.sign(torch.randn(600, generator=generator))
    first = torch.cat([low, low + 6], dim=1)
    boxes = torch.cat([first, first + shift.repeat(1, 2)])  # pairs of IoU .5, more or less by .007
    scores = torch.rand(1200, generator=generator)
    groups = torch.randint(1180, 1203, (600,), generator=generator).repeat(2)
    size = torch.tensor([800, 800])
    kept = nms_by_group(boxes, scores, groups, number=1203, iou=0.5, size=size)
    alone = [
        (groups == g).nonzero()[:, 0][nms(boxes[groups == g], scores[groups == g], 0.5)]
        for g in groups.unique()
    ]
    assert kept.tolist() == sorted(torch.cat(alone).tolist(), key=lambda k: -scores[k])


def test_a_disagreement_is_seen() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 50, 50]], np.float32)
    scores, labels = np.array([0.9, 0.5], np.float32), np.array([3, 4])
    masks = np.zeros((2, 4, 4), np.float32)
    a = Given(boxes, scores, labels, masks)
    others = {
        "label": a._replace(labels=np.array([3, 5])),
        "score": a._replace(scores=np.array([0.9, 0.505], np.float32)),
        "box": a._replace(boxes=boxes + np.float32(0.2)),
        "mask": a._replace(masks=masks + np.float32(0.02)),
        "fewer": Given(boxes[:1], scores[:1], labels[:1], masks[:1]),
    }
    for name, b in others.items():
        for first, second in ((a, b), (b, a)):
            agreement = Agreement()
            agreement.add(first, second)
            assert not agreement.is_good, name
    same = Agreement()
    same.add(a, a)
    assert same.is_good and same.detections == 2


def test_without_onnx_it_is_said(tmp_path: Path) -> None:
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(UserError, match=r"pip install 'lvistk\[onnx\]'"):
            write_onnx(detector_for("plain"), tmp_path / "a.onnx", size=None, trained=InputSize())


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("plain", None),
        *(
            pytest.param(kind, size, marks=pytest.mark.slow)
            for kind in KINDS
            for size in (None, (128, 192))
        ),
    ],
)
def test_onnxruntime_gives_the_same(
    kind: str, size: tuple[int, int] | None, images: list[Path], tmp_path: Path
) -> None:
    """Traced at one size, run at others; a fixed size holds images in its upper left."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    detector = detector_for(kind)
    path = tmp_path / "model.onnx"
    write_onnx(detector, path, size=size, trained=InputSize(96, 160))
    agreement = check_onnx(path, detector, images, view=VIEW, size=size)
    assert agreement.detections > 20 and agreement.unmatched <= 1, agreement.text()
    assert agreement.score < 1e-4 and agreement.box < 1e-2, agreement.text()
    assert agreement.mask > 0.99, agreement.text()
    props = {one.key: one.value for one in onnx.load(str(path)).metadata_props}
    table = json.loads(props[KEY])
    assert table["names"][0] == "thing 0" and table["short_edge"] == 96


@pytest.mark.slow
def test_nothing_detected(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model: MaskRCNN = small_model(SOFTMAX, ALL_MASK_PARTS)
    detector = detector_of(model, dataclasses.replace(MERGE, score_threshold=0.99))
    path = tmp_path / "model.onnx"
    write_onnx(detector, path, size=(64, 96), trained=InputSize())
    given = OnnxModel(path)(np.zeros((3, 64, 96), np.uint8), (64, 90))
    assert given.boxes.shape == (0, 4) and given.masks is not None and len(given.masks) == 0

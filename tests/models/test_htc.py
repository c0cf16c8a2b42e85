from pathlib import Path

import pytest
import torch
from torch import Tensor

from lvistk.importing.parameter_names import translate
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.models.build_small import (
    ALL_MASK_PARTS,
    CASCADE,
    HTC,
    EllipseMasks,
    small_model,
    some_batch,
    some_targets,
)
from tests.reference.htc import HybridTaskCascade, parameters

CLASSES, CHANNELS, HIDDEN = 7, 16, 32
PIPELINES = Path(__file__).parents[2] / "pipelines"


def some_features(generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(1, CHANNELS, 64 // 2**n, 80 // 2**n, generator=generator) for n in range(4)]


def some_boxes(number: int, generator: torch.Generator) -> Tensor:
    corner = torch.rand(number, 2, generator=generator) * 120
    side = 8 + 120 * torch.rand(number, 2, generator=generator)
    return torch.cat([corner, corner + side], dim=1)


@pytest.fixture
def pair() -> tuple[MaskRCNN, HybridTaskCascade]:
    generator = torch.Generator().manual_seed(0)
    table = parameters(channels=CHANNELS, hidden=HIDDEN, classes=CLASSES, generator=generator)
    model = small_model(HTC, {"classifier": {"kind": "softmax"}}).eval()
    translated = {translate(name, "mmdetection"): value for name, value in table.items()}
    own = {name for name in model.state_dict() if name.startswith("roi_heads.")}
    assert set(translated) == own - {"roi_heads.mask.area_ratio_prior"}
    model.load_state_dict(translated, strict=False)
    return model, HybridTaskCascade(table, (256, 320))


def test_boxes_and_scores_equal_the_twin(pair: tuple[MaskRCNN, HybridTaskCascade]) -> None:
    model, twin = pair
    generator = torch.Generator().manual_seed(1)
    features, proposals = some_features(generator), some_boxes(12, generator)
    boxes, scores = model.roi_heads.detect(features, [proposals], sizes=[(256, 320)])
    for box, score, proposal in zip(boxes[0], scores[0], proposals, strict=True):
        want_box, want_scores = twin.detect(features, proposal)
        torch.testing.assert_close(box, want_box, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(score, want_scores[:-1], rtol=1e-4, atol=1e-5)


def test_masks_equal_the_twin(pair: tuple[MaskRCNN, HybridTaskCascade]) -> None:
    model, twin = pair
    generator = torch.Generator().manual_seed(2)
    features, boxes = some_features(generator), some_boxes(6, generator)
    labels = torch.arange(6)
    (output,) = model.predict_masks(features, [boxes], [labels])
    for mask, box, label in zip(output.probs, boxes, labels.tolist(), strict=True):
        want = twin.mask(features, box, label)
        torch.testing.assert_close(mask, want, rtol=1e-4, atol=1e-5)


def flow_gradient(model: MaskRCNN, loss: str) -> list[float]:
    losses = model.losses(some_batch(), [some_targets(4), some_targets(3, seed=1)])
    model.zero_grad()
    losses[loss].backward()
    assert model.roi_heads.mask is not None
    return [
        0.0 if (grad := stage.head.convs[0].weight.grad) is None else float(grad.abs().sum())
        for stage in model.roi_heads.mask.stages
    ]


def test_gradients_go_through_the_mask_information_flow() -> None:
    model = small_model(HTC)
    assert all(value > 0 for value in flow_gradient(model, "mask_3"))
    first, second, third = flow_gradient(model, "mask_2")
    assert first > 0 and second > 0 and third == 0


def test_without_flow_each_stage_learns_alone() -> None:
    first, second, third = flow_gradient(small_model(CASCADE), "mask_3")
    assert first == second == 0 and third > 0


class RecordedMasks(EllipseMasks):
    """Remembers the boxes it was asked about."""

    seen: list[Tensor]

    def crop(self, instances: Tensor, boxes: Tensor, size: int) -> Tensor:
        self.seen.append(boxes)
        return super().crop(instances, boxes, size)


@pytest.mark.parametrize("interleaved", [True, False])
def test_interleaved_masks_train_on_the_boxes_that_their_stage_refined(interleaved: bool) -> None:
    model = small_model(HTC if interleaved else CASCADE, {"mask": {"assignment": "scale"}})
    with torch.no_grad():
        for head in model.roi_heads.box_heads:
            head.regression.weight.zero_()
            head.regression.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))  # 1/20 of the width
    target = some_targets(4)
    target.masks = RecordedMasks(target.boxes)
    target.masks.seen = []
    near = target.boxes + torch.tensor([1.0, 1.0, 2.0, 2.0])
    features = some_features(torch.Generator().manual_seed(0))
    model.roi_heads.losses(
        features, [near], [target], sizes=[(256, 320)], generators=[torch.Generator()]
    )
    first = target.masks.seen[0]
    shift = 0.05 * (near[:, 2] - near[:, 0])[:, None] * torch.tensor([1.0, 0.0, 1.0, 0.0])
    wanted = torch.cat([near + shift if interleaved else near, target.boxes])
    distance = (first[:, None] - wanted).abs().amax(dim=2)  # (K, 8)
    assert (distance.amin(dim=1) < 1e-3).all()
    assert (distance[:, :4].amin(dim=0) < 1e-3).any()  # not the ground truth instances alone


def test_stage_weights_scale_the_losses() -> None:
    batch, targets = some_batch(), [some_targets(4), some_targets(3, seed=1)]
    losses = small_model(HTC).losses(batch, targets)
    plain = small_model(HTC, {"cascade": {"loss_weights": [1.0, 1.0, 1.0]}}).losses(batch, targets)
    for name, value in losses.items():
        factor = {"2": 0.5, "3": 0.25}.get(name[-1], 1.0)
        torch.testing.assert_close(value, factor * plain[name])


@pytest.mark.parametrize("kind", ["eql", "group_softmax"])
def test_every_part_at_once(kind: str) -> None:
    model = small_model(HTC, ALL_MASK_PARTS, {"classifier": {"kind": kind}})
    losses = model.losses(some_batch(), [some_targets(4), some_targets(0)])
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    output = model.eval().detect_boxes(some_batch())
    boxes = [image[:5] for image in output.boxes]
    masks = model.predict_masks(output.features, boxes, [torch.arange(5)] * 2)
    assert all(image.probs.shape == (5, 28, 28) for image in masks)
    assert all(image.iou is not None and image.iou.shape == (5,) for image in masks)


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("htc_*.toml")), ids=lambda path: path.stem)
def test_pipelines_have_the_published_rpn_loss(path: Path) -> None:
    """mmdetection's HTC configurations: SmoothL1Loss, beta 1/9."""
    settings = load_pipeline(path).stages[0].settings.model
    assert settings.rpn.smooth_l1_beta == pytest.approx(1 / 9, rel=1e-12)


def test_there_are_pipelines_to_look_at() -> None:
    assert len([*PIPELINES.glob("htc_*.toml")]) >= 4

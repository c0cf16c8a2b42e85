"""torchvision's Mask R-CNN through ``import-weights``: the same boxes, scores and masks."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms

from lvistk.errors import UserError
from lvistk.importing.coco_categories import coco_categories
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model
from lvistk.stages.pipelines.runner import run_stage
from lvistk.stages.pipelines.stage_plan import plan_alone, with_inputs
from lvistk.structures.image_batch import ImageBatch

SIDES = (120, 200)
"""Of the image; padded to 128 x 224, where P6 has anchors every 64 and 56 pixels in torchvision."""
UNUSED_IDS = sorted(set(range(1, 91)) - set(coco_categories().ids.tolist()))


def run_import(out: Path, *assignments: str, **inputs: Path) -> MaskRCNN:
    plan = plan_alone("import-weights", out=out, assignments=assignments)
    run_stage(with_inputs(plan, inputs))
    return load_model(out, device=torch.device("cpu"))


def entries(folder: Path) -> list[dict[str, str]]:
    return json.loads((folder / "import.json").read_text())


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.detection.MaskRCNN:
    """COCO's 91 outputs, of random weights that spread scores; epsilon 0 as in the published weights.

    Rows of ids that COCO doesn't use never win, as in a trained model; their leaving changes no score.
    """
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=91,
        min_size=SIDES[0],
        max_size=SIDES[1],
        box_score_thresh=0.02,
        rpn_post_nms_top_n_test=100,
    )
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-30  # nothing beside any variance; torch 2.11 refuses 0 here
            torch.nn.init.constant_(module.weight, 0.01 if name.endswith("bn3") else 0.03)
            torch.nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.001, 0.002)  # so small that epsilon is seen
    spread(model)
    with torch.no_grad():
        model.roi_heads.get_submodule("box_predictor.cls_score").bias[UNUSED_IDS] = -50
    return model


def spread(model: torchvision.models.detection.MaskRCNN) -> None:
    """Scale and shift the last layers, so that their outputs spread as a trained model's."""
    model.eval()
    heads = model.roi_heads
    for layer, deviation in (
        (model.rpn.head.cls_logits, 2.0),
        (model.rpn.head.bbox_pred, 0.2),
        (heads.get_submodule("box_predictor.cls_score"), 2.0),
        (heads.get_submodule("box_predictor.bbox_pred"), 1.0),
        (heads.get_submodule("mask_predictor.mask_fcn_logits"), 2.0),
    ):
        seen: list[Tensor] = []
        hook = layer.register_forward_hook(
            lambda m, _, out, seen=seen: seen.append(out.transpose(0, 1).flatten(1))
        )
        with torch.no_grad():
            model([image() / 255])
            out = torch.cat(seen, dim=1)  # (channels, places)
            scale = deviation / (out - out.mean(dim=1, keepdim=True)).std()
            layer.weight.mul_(scale)
            layer.bias.sub_(out.mean(dim=1)).mul_(scale)
        hook.remove()


def image() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((1, 3, 13, 19), generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=SIDES, mode="bicubic")[0]
    return (fine * 255).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def imported(
    theirs: torchvision.models.detection.MaskRCNN, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("torchvision")
    torch.save(theirs.state_dict(), folder / "coco.pth")
    changes = ("norm_eps=0.0", "model.rpn.post_nms_test=100")
    run_import(folder / "stage", *changes, checkpoint=folder / "coco.pth")
    return folder / "stage"


def test_same_boxes_scores_and_masks(
    imported: Path, theirs: torchvision.models.detection.MaskRCNN
) -> None:
    ours = load_model(imported, device=torch.device("cpu"))
    assert ours.settings.detection.max_detections == 100
    with torch.no_grad():
        (wanted,) = theirs([image() / 255])
    output = ours.detect_boxes(ImageBatch.stack([image()]))
    boxes, scores, labels = select(output.boxes[0], output.scores[0])
    assert 20 < len(wanted["boxes"]) <= 100
    boxes, scores, labels = boxes[:100], scores[:100], labels[:100]
    torch.testing.assert_close(scores, wanted["scores"], rtol=0, atol=1e-4)
    ids = torch.from_numpy(ours.categories.ids)
    assert torch.equal(ids[labels], wanted["labels"])
    torch.testing.assert_close(boxes, wanted["boxes"], rtol=0, atol=0.01)
    (masks,) = ours.predict_masks(output.features, [boxes], [labels])
    pasted = paste_masks_in_image(masks.probs[:, None], boxes, SIDES)
    torch.testing.assert_close(pasted, wanted["masks"], rtol=0, atol=2e-3)


def select(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """torchvision's rule: score over .02, boxes of .01 px or more, NMS .5."""
    rows, labels = (scores > 0.02).nonzero().unbind(dim=1)
    boxes, scores = boxes[rows, labels], scores[rows, labels]
    large = (boxes[:, 2:] - boxes[:, :2] >= 1e-2).all(dim=1)
    boxes, scores, labels = boxes[large], scores[large], labels[large]
    kept = batched_nms(boxes, scores, labels, 0.5)
    return boxes[kept], scores[kept], labels[kept]


def test_every_tensor_is_accounted_for(
    imported: Path, theirs: torchvision.models.detection.MaskRCNN
) -> None:
    table = entries(imported)
    assert {row["source"] for row in table} - {""} == set(theirs.state_dict())
    actions = {row["source"]: row["action"] for row in table}
    predictor = "roi_heads.box_predictor."
    assert (
        actions[f"{predictor}cls_score.weight"]
        == "background's rows moved last, rows of 80 of 90 categories"
    )
    assert (
        actions["roi_heads.mask_predictor.mask_fcn_logits.bias"]
        == "background's rows left out, rows of 80 of 90 categories"
    )
    assert actions["backbone.body.bn1.running_var"] == "epsilon 0 kept"
    assert actions["backbone.body.bn1.num_batches_tracked"].startswith("dropped: ")
    assert actions["roi_heads.box_head.fc6.weight"] == "copied"


def lvis(path: Path, names: Mapping[int, tuple[str, ...]]) -> Path:
    records = [
        {"id": i, "name": n[0], "synonyms": list(n), "frequency": "c"} for i, n in names.items()
    ]
    path.write_text(json.dumps(records))
    return path


def test_rows_by_name_and_left_out(
    tmp_path: Path, imported: Path, theirs: torchvision.models.detection.MaskRCNN
) -> None:
    checkpoint = imported.parent / "coco.pth"
    names = {3: ("aardvark",), 7: ("cellular_telephone", "cell_phone"), 9: ("person",)}
    categories = lvis(tmp_path / "lvis.json", names)
    inputs = {"checkpoint": checkpoint, "categories": categories}
    model = run_import(tmp_path / "named", "labels=by_name", **inputs)
    state, own = theirs.state_dict(), model.state_dict()
    logits = own["roi_heads.box_heads.0.classifier.linear.weight"]
    wanted = state["roi_heads.box_predictor.cls_score.weight"]
    torch.testing.assert_close(logits[[1, 2, 3]], wanted[[77, 1, 0]], rtol=0, atol=0)
    deltas = own["roi_heads.box_heads.0.regression.bias"].view(3, 4)
    assert torch.equal(deltas[2], state["roi_heads.box_predictor.bbox_pred.bias"][4:8])
    assert not torch.isin(logits[0], wanted).any()
    model = run_import(tmp_path / "none", "labels=leave_out", **inputs)
    actions = {row["source"]: row["action"] for row in entries(tmp_path / "none")}
    assert actions["roi_heads.box_predictor.cls_score.bias"] == "dropped: rows of other categories"
    assert torch.equal(
        model.state_dict()["roi_heads.box_heads.0.fc.1.weight"],
        state["roi_heads.box_head.fc7.weight"],
    )
    with pytest.raises(
        UserError, match=r"coco\.pth: category 3 \(aardvark\) is 'car'.*--labels by_name"
    ):
        run_import(tmp_path / "same", **inputs)
    inputs["categories"] = lvis(tmp_path / "more.json", {91: ("person",)})
    with pytest.raises(UserError, match=r"coco\.pth: the checkpoint has no category 91.*by_name"):
        run_import(tmp_path / "other", **inputs)


def test_the_second_version_is_refused_by_its_heads(tmp_path: Path) -> None:
    path = tmp_path / "v2.pth"
    with torch.device("meta"):
        names = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict()
    torch.save(dict.fromkeys(names, torch.zeros(1)), path)
    with pytest.raises(UserError, match=r"v2\.pth: .* a v2 model, whose heads"):
        run_import(tmp_path / "out", checkpoint=path)

"""``train-repr --init``: what a model's weights depend on comes along, and so do categories by name."""

import json
from pathlib import Path

import pytest
import torch

from lvistk.config.load import parse_assignments, update
from lvistk.config.model import ModelSettings
from lvistk.models.build import build_model
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import load_model, save_model
from tests.command_line import MODEL, Commands, assign, train_repr
from tests.data.small_data import small_index

ODD = {
    "image_mean": [1.0, 2.0, 3.0],
    "image_std": [4.0, 5.0, 6.0],
    "box": {"aligned": False, "sampling_ratio": 2},
    "mask": {"sampling_ratio": 2},
    "rpn": {"rounded_anchors": True, "fitted_strides": True, "aspect_ratios": [0.5, 1.0]},
}


def write_init(root: Path, changes: dict) -> Path:
    """A model with drawn weights for the categories of ``root``; nothing is trained further (rate 0)."""
    index = small_index(root, count=8)
    torch.manual_seed(3)
    settings = update(ModelSettings(), parse_assignments(MODEL)["model"], where="test")
    settings = update(settings, changes, where="test")
    save_model(root / "init.safetensors", build_model(settings, index.categories), extra={})
    return root / "init.safetensors"


def start(root: Path, out: Path) -> list[object]:
    still = assign("optim.lr=0", "loop.max_steps=1", "optim.weight_decay=0")
    return [*train_repr(root, out), "--init", root / "init.safetensors", *still]


def loaded(path: Path) -> MaskRCNN:
    return load_model(path, device=torch.device("cpu"))


def test_settings_that_no_shape_tells_are_inherited(tmp_path: Path, lvistk: Commands) -> None:
    write_init(tmp_path, ODD)
    done = lvistk(*start(tmp_path, tmp_path / "out"))
    assert done.code == 0, done
    settings = loaded(tmp_path / "out").settings
    assert settings.image_mean == (1, 2, 3) and settings.image_std == (4, 5, 6)
    assert not settings.box.aligned and settings.box.sampling_ratio == 2
    assert settings.mask.sampling_ratio == 2 and settings.rpn.aspect_ratios == (0.5, 1.0)
    assert settings.rpn.rounded_anchors and settings.rpn.fitted_strides
    said = " ".join(done.out)
    assert "taken from" in said and "model.box.aligned" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model.image_mean=[9, 9, 9]", "model.image_mean = [9.0, 9.0, 9.0], but the weights of"),
        ("model.rpn.aspect_ratios=[1.0]", "were trained with [0.5, 1.0]"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, lvistk: Commands, given: str, message: str
) -> None:
    init = write_init(tmp_path, ODD)
    told = lvistk(*start(tmp_path, tmp_path / "out"), *assign(given)).error()
    assert message in told and str(init) in told


def test_a_model_of_ours_is_a_source_of_import_weights(tmp_path: Path, lvistk: Commands) -> None:
    init = write_init(tmp_path, {"classifier": {"kind": "softmax"}})
    old = loaded(init)
    wanted = [{"id": 5, "name": "unheard of"}, {"id": 9, "name": old.categories.names[2]}]
    (tmp_path / "two.json").write_text(json.dumps(wanted))
    given = [
        "--categories",
        tmp_path / "two.json",
        "--labels",
        "by_name",
        "--out",
        tmp_path / "out",
    ]
    done = lvistk("import-weights", init, *given)
    assert done.code == 0, done
    new, name = loaded(tmp_path / "out"), "roi_heads.box_heads.0.classifier.linear.weight"
    assert new.categories.ids.tolist() == [5, 9]
    assert torch.equal(new.state_dict()[name][1:], old.state_dict()[name][[2, -1]])
    table = json.loads((tmp_path / "out" / "import.json").read_text())
    assert {row["target"] for row in table} - {""} == set(new.state_dict())
    told = lvistk("import-weights", init, *given[:2], "--out", tmp_path / "same").error()
    assert told.startswith(f"{init}: the checkpoint has no category 5 (unheard of)")


@pytest.mark.parametrize("agnostic", [True, False])
def test_categories_of_the_same_name_come_along(
    tmp_path: Path, lvistk: Commands, agnostic: bool
) -> None:
    """One category more, other ids, another order: rows go by name."""
    changes = {"box": {"class_agnostic": agnostic}, "mask": {"class_agnostic": agnostic}}
    init = loaded(write_init(tmp_path, changes))
    table = json.loads((tmp_path / "train.json").read_text())
    moved = {record["id"]: 100 - record["id"] for record in table["categories"]}
    for record in table["categories"]:
        record["id"] = moved[record["id"]]
    for annotation in table["annotations"]:
        annotation["category_id"] = moved[annotation["category_id"]]
    for image in table["images"]:
        for field in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[field] = [moved[id_] for id_ in image[field]]
    table["categories"].append({"id": 50, "name": "never met before", "frequency": "r"})
    (tmp_path / "train.json").write_text(json.dumps(table))
    settings = assign(f"model.box.class_agnostic={str(agnostic).lower()}")
    settings += assign(f"model.mask.class_agnostic={str(agnostic).lower()}")
    done = lvistk(*start(tmp_path, tmp_path / "out"), *settings)
    assert done.code == 0, done
    said = " ".join(" ".join(done.out).split())
    number = len(init.categories)
    assert f"{number} of {number + 1} categories have their name in it" in said
    new = loaded(tmp_path / "out")
    row = {name: label for label, name in enumerate(init.categories.names)}
    rows = [row.get(name, -1) for name in new.categories.names]
    assert rows.count(-1) == 1 and rows != sorted(rows)
    old_state, new_state = init.state_dict(), new.state_dict()
    per_category = {"roi_heads.box_heads.0.classifier.linear.weight": 1}
    if not agnostic:
        per_category |= {"roi_heads.box_heads.0.regression.weight": 4}
        per_category |= {"roi_heads.mask.stages.0.head.predictor.bias": 1}
    for name, each in per_category.items():
        for label, there in enumerate(rows):
            if there >= 0:
                wanted = old_state[name][there * each : (there + 1) * each]
                assert torch.equal(new_state[name][label * each : (label + 1) * each], wanted), name
    body = "backbone.body.layer3.0.conv1.weight"
    assert torch.equal(new_state[body], old_state[body])

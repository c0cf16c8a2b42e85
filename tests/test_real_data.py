"""The commands on real images: official scores of our results files, and learning what is there."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

from lvistk.data.index.annotation_index import AnnotationIndex
from tests.command_line import INFER, SIX, Commands, assign, write_model
from tests.reference.official_lvis import official
from tests.shared_data import REALDATA, needs_realdata

ANNOTATIONS, IMAGES = REALDATA / "annotations", REALDATA / "images"
PIPELINE = Path(__file__).parents[1] / "pipelines" / "real_small.toml"
PLAIN = assign("boundary=false", "fixed=false")


def first_images(source: Path, target: Path, *, images: int) -> dict[str, Any]:
    """The annotations of the first images that have at least three, as a file of their own."""
    table = json.loads(source.read_text())
    counts: dict[int, int] = {}
    for annotation in table["annotations"]:
        counts[annotation["image_id"]] = counts.get(annotation["image_id"], 0) + 1
    table["images"] = [i for i in table["images"] if counts.get(i["id"], 0) >= 3][:images]
    kept = {image["id"] for image in table["images"]}
    table["annotations"] = [a for a in table["annotations"] if a["image_id"] in kept]
    target.write_text(json.dumps(table))
    return table


def metrics(folder: Path) -> dict[str, dict[str, float | None]]:
    return json.loads((folder / "metrics.json").read_text())


def assert_official_scores(gt: Path, results: Path, iou_type: str, ours: dict) -> None:
    theirs = official(gt, results, iou_type).results
    for name in ("AP", "APr", "APc", "APf"):
        mine = -1.0 if ours[iou_type][name] is None else ours[iou_type][name]
        assert mine == pytest.approx(theirs[name], abs=1e-9), (iou_type, name)


@needs_realdata
@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")  # lvis 0.5.3's own
def test_our_results_files_score_as_by_the_official_code(tmp_path: Path, lvistk: Commands) -> None:
    """Four real images and a model of the 1203 categories with drawn weights. Every third detection is
    declared a ground truth instance, in turn of a rare, a common and a frequent category, so
    that the scores are numbers
    between 0 and 1."""
    listed = tmp_path / "images.json"
    table = first_images(ANNOTATIONS / "coco_as_lvis_v1_val.json", listed, images=4)
    index = AnnotationIndex.open([listed], cache=tmp_path / "cache")
    write_model(tmp_path / "model.safetensors", index)
    found, out = tmp_path / "found", tmp_path / "score"
    given = ["--model", tmp_path / "model.safetensors", "--val", listed, "--val-images", IMAGES]
    small = assign(*INFER, "merge.max_detections=60")
    assert lvistk("tta-infer", *given, "--out", found, "--device", "cpu", *small).code == 0

    masks = found / "results_segm.json"
    table["annotations"] = some_as_gt(json.loads(masks.read_text()))
    letters = {a["category_id"]: "rcf"[n % 3] for n, a in enumerate(table["annotations"])}
    for category in table["categories"]:
        category["frequency"] = letters.get(category["id"], category["frequency"])
    for image in table["images"]:
        image["neg_category_ids"] = image["not_exhaustive_category_ids"] = []
    gt = tmp_path / "gt.json"
    gt.write_text(json.dumps(table))

    boxes = found / "results_bbox.json"
    done = lvistk("evaluate", gt, masks, "--boxes", boxes, "--out", out, *PLAIN)
    assert done.code == 0, done
    ours = metrics(out)
    assert all((ours["segm"][name] or 0) > 0 for name in ("AP", "APr", "APc", "APf"))
    assert (ours["bbox"]["AP"] or 1) < 1
    assert_official_scores(gt, masks, "segm", ours)
    assert_official_scores(gt, boxes, "bbox", ours)


def some_as_gt(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every third detection with a mask as an annotation, its box that of the mask."""
    gts = []
    for result in results[::3]:
        area = float(coco_mask.area(result["segmentation"]))
        if area > 0:
            box = coco_mask.toBbox(result["segmentation"]).tolist()
            kept = {k: result[k] for k in ("image_id", "category_id", "segmentation")}
            gts.append({"id": len(gts) + 1, "bbox": box, "area": area, **kept})
    return gts


@needs_realdata
def test_two_people_agree_as_the_data_say(tmp_path: Path, lvistk: Commands) -> None:
    """The numbers that lvis-api gives (the data's own README), here by the command."""
    results = ANNOTATIONS / "lvis_v1_real_rater2_results.json"
    gt = ANNOTATIONS / "lvis_v1_real_rater1_gt.json"
    assert lvistk("evaluate", gt, results, "--out", tmp_path / "out", *PLAIN).code == 0
    found = metrics(tmp_path / "out")
    wanted = {"AP": 0.611, "AP50": 0.826, "AP75": 0.675, "APr": 0.677, "APc": 0.542, "APf": 0.617}
    assert {name: round(found["segm"][name] or 0, 3) for name in wanted} == wanted
    assert round(found["bbox"]["AP"] or 0, 3) == 0.667


def test_every_command_of_the_page_is_accepted(
    tmp_path: Path, lvistk: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no data, nothing but the data is missing."""
    page = (Path(__file__).parents[1] / "docs" / "real-data.md").read_text()
    blocks = re.findall(r"^ *```\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    script = "lvistk() { printf '%s\\0' \"$@\"; printf '\\n'; }\n"
    script += "\n".join(b for b in blocks if "lvistk" in b or "ANN=" in b)
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    commands = [line.split("\0")[:-1] for line in said.stdout.splitlines()]
    monkeypatch.chdir(tmp_path)
    stages = [command for command in commands if command[0] not in ("run", "status")]
    assert {command[0] for command in stages} == {*SIX} and len(stages) == 7
    for command in stages:
        assert lvistk(*command).error().endswith(": no such file or folder")


@pytest.mark.slow
@needs_realdata
def test_twenty_images_are_learned(tmp_path: Path, lvistk: Commands) -> None:
    """Trained on 20 images and evaluated on the same 20, box AP50 is at least .5: it can learn real
    things. 300 steps of 4 images at a short edge of 224, the backbone from its ImageNet weights."""
    pytest.importorskip("timm")
    listed = tmp_path / "twenty.json"
    first_images(ANNOTATIONS / "coco_as_lvis_v1_train.json", listed, images=20)
    weights = REALDATA / "weights" / "efficientnet-lite0-57934424.pth"
    common = ["--config", PIPELINE, "--device", "cpu"]
    settings = assign(
        f"model.backbone.weights={weights}",
        "model.classifier.kind=softmax",
        "augment.short_edges=[224]",
        "augment.flip=0.0",
        "sampler.repeat=none",
        "loop.batch_size=4",
        "loop.epochs=60",
        "loop.checkpoint_steps=1000",
    )
    val = ["--val", listed, "--val-images", IMAGES]
    given = ["--train", listed, "--train-images", IMAGES, "--pool", IMAGES / "openimages", *val]
    folder = ["--out", tmp_path / "model"]
    done = lvistk("train-repr", *common, "--stage", "round1", *given, *folder, *settings)
    assert done.code == 0, done
    given = ["--model", tmp_path / "model", *val, "--out", tmp_path / "found"]
    done = lvistk("tta-infer", *common, "--stage", "detect_round1", *given)
    assert done.code == 0, done
    done = lvistk("evaluate", listed, tmp_path / "found", "--out", tmp_path / "score", *PLAIN)
    assert done.code == 0, done
    assert (metrics(tmp_path / "score")["bbox"]["AP50"] or 0) >= 0.5

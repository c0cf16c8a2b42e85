"""``lvistk init``: from a folder of data to a project that runs, each command typed just so."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.artifacts import read_manifest
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.command_line import Commands, small_world

QUICK = ("--hours", "0.05", "--device", "cpu")


@pytest.fixture
def coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images and a COCO file in an empty folder."""
    small_world(tmp_path, images=24)
    table = json.loads((tmp_path / "train.json").read_text())
    for image in table["images"]:
        image.pop("neg_category_ids")
        image.pop("not_exhaustive_category_ids")
        image["file_name"] = image.pop("coco_url").rsplit("/", 1)[1]
    for category in table["categories"]:
        category.pop("frequency")
    (tmp_path / "train.json").unlink()
    (tmp_path / "model.safetensors").rename(tmp_path / "detector.bin")
    (tmp_path / "mine.json").write_text(json.dumps(table))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_writes_nothing(coco: Path, lvistk: Commands) -> None:
    before = sorted(coco.rglob("*"))
    done = lvistk("init", "--dry-run", *QUICK)
    assert done.code == 0, done
    assert sorted(coco.rglob("*")) == before
    text = "\n".join(done.out)
    assert "mine.json: COCO, 24 images" in text and "[stage.finetune]" in text
    assert 'train = ["lvistk-data/train.json"]' in text


def test_a_project_from_a_coco_file_runs_bare(coco: Path, lvistk: Commands) -> None:
    done = lvistk("init", *QUICK)
    assert done.code == 0, done
    assert any("more than the 3 minutes asked for" in line for line in done.err)
    file = coco / "lvistk.toml"
    reasons = re.findall(r"# .*", file.read_text())
    assert len(reasons) > 25 and any("Machine" in line for line in reasons)
    told = lvistk("init", *QUICK).error()
    assert told == "lvistk.toml: is there already; --force replaces it, --dry-run only shows a plan"

    assert "run lvistk train-repr first" in lvistk("tta-infer").error()
    assert "run lvistk train-repr, then lvistk tta-infer first" in lvistk("evaluate").error()
    pool = lvistk("pseudo-label", "--source", "openimages").error()
    assert "run lvistk train-repr first" in pool
    short = re.sub(r"^epochs = \d+", "epochs = 1", file.read_text(), flags=re.MULTILINE)
    file.write_text(short)
    for words in (["train-repr"], ["tta-infer"], ["evaluate"]):
        done = lvistk(*words)
        assert done.code == 0, done
        assert done.out[0].startswith("lvistk.toml: stage ")
    assert "needs the input 'pool'" in lvistk("pseudo-label", "--source", "openimages").error()
    assert sum(" done " in line for line in lvistk("status").out) == 3


def test_the_four_commands_in_a_project_with_a_pool(coco: Path, lvistk: Commands) -> None:
    (coco / "unlabelled").mkdir()
    for number in range(10):
        drawn = np.full((60, 80, 3), 20 * number, np.uint8)
        cv2.imwrite(str(coco / "unlabelled" / f"{number:016x}.jpg"), drawn)
    done = lvistk("init", *QUICK)
    assert done.code == 0, done
    assert "unlabelled: a pool of unlabelled images" in done.out
    file = coco / "lvistk.toml"
    text = re.sub(r"^epochs = \d+", "max_steps = 2", file.read_text(), flags=re.MULTILINE)
    file.write_text(text)
    for line in ("train-repr", "pseudo-label --source openimages", "tta-infer", "evaluate"):
        done = lvistk(*line.split())
        assert done.code == 0, (line, done)
    labelled = read_manifest(coco / "runs" / coco.name / "pseudo_openimages")
    assert labelled["summary"]["photos"] == 10


def test_a_detector_to_start_from(coco: Path, lvistk: Commands) -> None:
    (coco / "detector.bin").rename(coco / "detector.safetensors")
    done = lvistk("init", "--from", "detector.safetensors", *QUICK)
    assert done.code == 0, done
    pipeline = load_pipeline(Path("lvistk.toml"))
    assert pipeline.stage("train_repr").inputs.init == pipeline.stage("imported").out
    model = pipeline.stage("train_repr").settings.model
    assert (model.backbone.name, model.fpn.channels) == ("resnet18", 16)
    assert lvistk("import-weights").code == 0


def test_a_detector_of_other_categories_gives_all_but_their_rows(
    coco: Path, lvistk: Commands
) -> None:
    (coco / "detector.bin").rename(coco / "detector.safetensors")
    annotations = coco / "mine.json"
    table = json.loads(annotations.read_text())
    for category in table["categories"]:
        category["name"] = f"part {category['id']}"
    annotations.write_text(json.dumps(table))
    done = lvistk("init", "--from", "detector.safetensors", *QUICK)
    assert done.code == 0, done
    assert any("no category of the checkpoint has a name in common" in line for line in done.err)
    imported = load_pipeline(Path("lvistk.toml")).stage("imported")
    assert imported.settings.labels == "leave_out"
    assert lvistk("import-weights").code == 0


def test_a_preset_gets_the_data(coco: Path, lvistk: Commands) -> None:
    done = lvistk("init", "--preset", "htc_r50")
    assert done.code == 0
    assert "is a download when the run starts" in done.err[0] and "pool" in done.err[1]
    mine, shipped = load_pipeline(Path("lvistk.toml")), load_pipeline(Path("htc_r50"))
    assert [one.name for one in mine.stages] == [one.name for one in shipped.stages]
    assert mine.stages[0].settings == shipped.stages[0].settings
    assert mine.stages[0].inputs.train == (Path("lvistk-data/train.json"),)
    first = Path("lvistk.toml").read_text().splitlines()[0]
    assert first.startswith("# The shipped pipeline htc_r50 with other data")


@pytest.mark.parametrize("preset", ["demo", "demo_paper"])  # it draws data, or its base does
def test_a_preset_draws_no_data(coco: Path, lvistk: Commands, preset: str) -> None:
    assert lvistk("init", "--preset", preset).code == 0
    mine = load_pipeline(Path("lvistk.toml"))
    assert mine.generate is None
    assert mine.stages[0].inputs.train == (Path("lvistk-data/train.json"),)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((30, 40, 3), 99, np.uint8))


def test_yolo_and_labelme_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lvistk: Commands
) -> None:
    monkeypatch.chdir(tmp_path)
    yolo, sheets = tmp_path / "yolo", tmp_path / "sheets"
    for name in ("train/a", "train/b", "val/c"):
        picture(yolo / f"images/{name}.jpg")
        labels = yolo / f"labels/{name}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (yolo / "data.yaml").write_text("names: [cup]\n")
    for name in "abcde":
        picture(sheets / f"{name}.jpg")
        shape = {"label": "cup", "shape_type": "polygon", "points": [[1, 1], [30, 1], [30, 20]]}
        sheet = {"shapes": [shape], "imagePath": f"{name}.jpg", "imageHeight": 30, "imageWidth": 40}
        (sheets / f"{name}.json").write_text(json.dumps(sheet))
    assert lvistk("init", "yolo", "--preset", "mask_rcnn_r50").code == 0
    inputs = load_pipeline(Path("lvistk.toml")).stages[0].inputs
    assert inputs.train_images == Path("yolo/images/train")
    assert inputs.val_images == Path("yolo/images/val")
    counts = [len(json.loads(path.read_text())["images"]) for path in (*inputs.train, inputs.val)]
    assert counts == [2, 1]
    assert lvistk("init", "sheets", "--preset", "mask_rcnn_r50", "--force").code == 0
    inputs = load_pipeline(Path("lvistk.toml")).stages[0].inputs
    assert inputs.train_images == Path("sheets")
    counts = [len(json.loads(path.read_text())["images"]) for path in (*inputs.train, inputs.val)]
    assert counts == [4, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder of data"),
        (["--hours", "0"], "give a time above 0"),
        (["--hours", "nan"], "--hours nan: give a time above 0"),
        (["--hours", "inf"], "--hours inf: give a time above 0"),
        (["--weights", "none.pth"], "--weights none.pth: no such file"),
        (["--weights", "mine.json"], "which backbone they are of is not clear"),
        (["--weights", "none", "--from", "mine.json"], "--from and --weights: give one"),
        (["--from", "mine.json"], "mine.json"),
        (["--preset", "htc_r5"], "did you mean 'htc_r50'?"),
        (["--preset", "htc_r50", "--weights", "none"], "--preset takes its values as they are"),
        (["--preset", "htc_r50", "--hours", "3"], "--hours, --weights and --from are for a plan"),
        (
            ["--preset", "htc_r50", "--from", "a.pth"],
            "--hours, --weights and --from are for a plan",
        ),
        (["--preset", "ladder/12_eql"], 'write a file with base = "ladder/12_eql" instead'),
    ],
)
def test_a_mistake_is_one_line(
    coco: Path, lvistk: Commands, words: list[str], message: str
) -> None:
    assert message in lvistk("init", *words, "--device", "cpu").error()
    assert not (coco / "lvistk.toml").exists()

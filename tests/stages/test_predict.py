"""predict on any images: what it writes, what it leaves out, where it resumes, and masks for given boxes."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lvistk.artifacts import read_manifest
from lvistk.data.store.detection_store import DetectionStore
from lvistk.masks import rle
from tests.command_line import Commands, files_below, small_world

LOW = ("--min-score", "0.001", "--set", "merge.max_detections=8")
"""The model has drawn weights, which score low."""
SMALL = (*LOW, "--set", "views.short_edges=[64]", "--set", "views.long_edge=96")
SMALL = (*SMALL, "--set", "predict.workers=0", "--device", "cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images in ``train2017``, their annotations, and a model."""
    root = tmp_path_factory.mktemp("predict")
    small_world(root, images=8)
    return root


def predict(world: Path, *sources: object, model: bool = True) -> list[object]:
    given = ["--model", world / "model.safetensors"] if model else []
    return ["predict", *sources, *given, *SMALL]


def test_a_folder(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    out = tmp_path / "out"
    command = [*predict(world, world / "train2017"), "--out", out, "--csv"]
    done = lvistk(*command)
    assert done.code == 0, done
    store = DetectionStore.open(out)
    assert store.image_ids.tolist() == list(range(1, 9))  # the files' own numbers
    table = json.loads((out / "predictions.json").read_text())
    assert [one["file_name"] for one in table["images"]] == [f"{n:012d}.jpg" for n in range(1, 9)]
    assert {one["name"] for one in table["categories"]} >= {"c10", "c23"}
    count = sum(len(image) for image in store)
    assert count > 8 and len(table["annotations"]) == count
    assert all(0 < one["score"] <= 1 for one in table["annotations"])
    rows = list(csv.DictReader((out / "detections.csv").read_text().splitlines()))
    assert len(rows) == count
    first = store[0]
    assert rows[0]["image"] == "000000000001.jpg"
    assert float(rows[0]["score"]) == pytest.approx(float(first.scores[0]), abs=1e-4)
    assert int(rows[0]["mask_area"]) == rle.areas(first.masks, first.size)[0]
    for n in range(1, 9):
        plain = cv2.imread(str(world / "train2017" / f"{n:012d}.jpg"))
        drawn = cv2.imread(str(out / "pictures" / f"{n:012d}.jpg"))
        assert drawn.shape[0] % plain.shape[0] == 0  # enlarged by a whole factor

    before = files_below(out)
    again = lvistk(*command)
    assert again.out == [f"predict: done ({out})"]
    assert files_below(out) == before


def test_each_run_has_a_folder_of_its_own(
    world: Path, tmp_path: Path, lvistk: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = world / "train2017" / "000000000003.jpg"
    first = predict(world, image)
    assert lvistk(*first).code == 0
    assert lvistk(*first, "--category", "c11").code == 0
    assert lvistk(*first).out == ["predict: done (runs/predict)"]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["predict", "predict-2"]
    one = DetectionStore.open(Path("runs/predict-2"))[0]
    assert len(one) and set(one.labels.tolist()) == {1}


def test_what_cannot_be_read_is_left_out_and_listed(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    folder = tmp_path / "mixed" / "inner"
    folder.mkdir(parents=True)
    pixels = np.full((60, 70, 3), 120, np.uint8)
    cv2.imwrite(str(folder / "good.png"), pixels)
    cv2.imwrite(str(folder / "good.webp"), pixels)
    (folder / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "list.txt").write_text("gone.jpg\nmixed/inner/good.png\n")
    out = tmp_path / "out"
    done = lvistk(*predict(world, tmp_path / "mixed", tmp_path / "list.txt"), "--out", out)
    assert done.code == 0, done
    listed = json.loads((out / "unreadable.json").read_text())
    assert sorted(row["file"] for row in listed) == ["gone.jpg", "mixed/inner/broken.jpg"]
    assert "not an image that can be decoded" in next(
        row["reason"] for row in listed if "broken" in row["file"]
    )
    names = [path.relative_to(out).as_posix() for path in sorted(out.glob("pictures/**/*.*"))]
    inner = "pictures/mixed/inner/good"
    assert names == [f"{inner}.png", f"{inner}.webp.jpg"]
    assert read_manifest(out)["summary"]["unreadable"] == 2


def test_a_shard_that_is_there_is_not_computed_again(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    command = [*predict(world, world / "train2017"), "--set", "predict.shard_images=3"]
    assert lvistk(*command, "--out", whole).code == 0
    assert lvistk(*command, "--out", out).code == 0
    (out / "detections" / "00001.h5").unlink()
    kept = files_below(out / "detections")
    resumed = lvistk(*command, "--out", out)
    assert resumed.code == 0 and "predict: resuming" in resumed.out[0]
    assert kept.items() <= files_below(out / "detections").items()
    for shard in (whole / "detections").iterdir():
        assert (out / "detections" / shard.name).read_bytes() == shard.read_bytes()


def test_views_of_a_pipeline_with_tta(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    (tmp_path / "mine.toml").write_text(
        f"""
        out = "{tmp_path}/runs"
        [views]
        short_edges = [56]
        flip = false
        [stage.look]
        command = "predict"
        [stage.tta]
        command = "tta-infer"
        [stage.tta.views]
        short_edges = [48, 80]
        flip = true
        """
    )
    image = world / "train2017" / "000000000001.jpg"
    command = ["predict", image, "--config", tmp_path / "mine.toml", *LOW, "--device", "cpu"]
    command += ["--model", world / "model.safetensors"]
    assert lvistk(*command, "--tta").code == 0
    assert lvistk(*command).code == 0
    assert lvistk(*command, "--tta", "--set", "views.short_edges=[40]").code == 0
    names = ("look", "look-2", "look-3")
    runs = [read_manifest(tmp_path / "runs" / name) for name in names]
    given = {
        tuple(one["settings"]["views"]["short_edges"]): one["summary"]["views"] for one in runs
    }
    assert all(one["settings"]["merge"]["max_detections"] == 8 for one in runs)
    assert given == {(48, 80): 4, (56,): 1, (40,): 1}


def test_masks_for_boxes_of_another_detector(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    """The model's own boxes through results JSON come back with the model's own masks."""
    own = tmp_path / "own"
    assert lvistk(*predict(world, world / "train2017"), "--out", own).code == 0
    store = DetectionStore.open(own)
    export = ["export", own, tmp_path / "boxes.json", "--as", "bbox"]
    assert lvistk(*export).code == 0
    results = json.loads((tmp_path / "boxes.json").read_text())
    for record in results:  # as tools that know file names alone write them
        record["image_id"] = f"{record['image_id']:012d}.jpg"
    (tmp_path / "named.json").write_text(json.dumps(results))
    ways = {
        "by_name": [tmp_path / "named.json"],
        "by_id": [tmp_path / "boxes.json", "--annotations", world / "train.json"],
        "store": [own],
    }
    for name, given in ways.items():
        out = tmp_path / name
        command = predict(world, world / "train2017")
        done = lvistk(*command, "--out", out, "--masks-for", *given)
        assert done.code == 0, done
        masked = DetectionStore.open(out)
        assert len(masked) == len(store)
        for row, image in enumerate(store):
            again = masked[int(masked.rows(image.image_id)[0])]
            np.testing.assert_array_equal(again.labels, image.labels, err_msg=f"{name} {row}")
            np.testing.assert_allclose(again.scores, image.scores)
            np.testing.assert_allclose(again.boxes, image.boxes, atol=1e-4)
            for a, b in zip(again.masks, image.masks, strict=True):
                differ = rle.decode(a, image.size) != rle.decode(b, image.size)
                assert differ.mean() < 0.02
        records = json.loads((out / "results_segm.json").read_text())
        assert len(records) == len(results) and "bbox" not in records[0]


@pytest.mark.parametrize(
    ("sources", "options", "words"),
    [
        (["train2017"], ["--category", "c1"], "no category 'c1' among the 9 of the model; near: c"),
        (["nothing"], [], "nothing: no such file or folder"),
        (["train.json"], [], "train.json: is JSON, no image; tta-infer"),
        (["train2017"], ["--annotations", "train.json"], "--annotations is for --masks-for"),
        (["train2017"], ["--masks-for", "strange.json"], "category 99 is none of the model's 9"),
        (["train2017"], ["--masks-for", "far.json"], "no box in any of the images"),
        (["train2017"], ["--masks-for", "bare.json"], "result 0 has no bbox"),
        (["train2017"], ["--min-score", "2"], "min_score = 2.0 does not fit; range: 0 to 1"),
    ],
)
def test_mistakes_are_one_line(
    world: Path, tmp_path: Path, lvistk: Commands, sources, options, words
) -> None:
    box = {"image_id": 1, "category_id": 10, "bbox": [1, 1, 9, 9], "score": 0.5}
    files = {
        "strange.json": box | {"category_id": 99},
        "far.json": box | {"image_id": 1000},
        "bare.json": {key: box[key] for key in ("image_id", "category_id", "score")},
    }
    for name, record in files.items():
        (world / name).write_text(json.dumps([record]))
    paths = [world / one if one.endswith(".json") else one for one in options]
    given = predict(world, *[world / one for one in sources])
    assert words in lvistk(*given, *paths, "--out", tmp_path / "out").error()


def test_bare_in_a_project(
    world: Path, tmp_path: Path, lvistk: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model comes from the last training, the folder is the run's own, and the line says which."""
    (tmp_path / "lvistk.toml").write_text(
        f"""
        out = "runs"
        [stage.learn]
        command = "import-weights"
        inputs = {{ checkpoint = "{world}/model.safetensors" }}
        """
    )
    monkeypatch.chdir(tmp_path)
    assert lvistk("run", "lvistk.toml").code == 0
    image = world / "train2017" / "000000000001.jpg"
    for number, folder in ((0.001, "runs/predict"), (0.002, "runs/predict-2")):
        line = ["predict", image, *SMALL, "--min-score", number]
        shown = lvistk(*line, "--dry-run")
        assert shown.code == 0, shown
        assert any(
            re.search(r"1 images in 1 view +\d+:\d\d +\d\.\d GB", text) for text in shown.out
        )
        done = lvistk(*line)
        assert done.code == 0, done
        assert f"stage predict in {folder}; model from learn; images as typed" in done.out[0]
        assert DetectionStore.open(Path(folder)).image_ids.tolist() == [1]


def test_no_detection_names_the_limit_that_predict_goes_by(
    world: Path, tmp_path: Path, lvistk: Commands
) -> None:
    image = world / "train2017" / "000000000001.jpg"
    line = ("predict", image, "--model", world, *SMALL, "--min-score", 0.999)
    done = lvistk(*line, "--out", tmp_path / "a")
    assert done.code == 0, done
    assert any("may be untrained, or --min-score too high" in text for text in done.err)


def test_without_images_or_model(world: Path, tmp_path: Path, lvistk: Commands) -> None:
    assert "needs the input 'images'" in lvistk("predict", "--out", tmp_path / "a").error()
    told = lvistk("predict", world / "train2017", "--out", tmp_path / "a").error()
    assert "needs the input 'model'" in told

"""The generated dataset on disk: bytes, layout, federated rules, and what it claims of itself."""

import base64
import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from lvis import LVIS

from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.data.synthetic.catalogue import kinds
from lvistk.data.synthetic.plan import SPLITS, Popularity, plan_image
from lvistk.data.synthetic.scene import draw
from lvistk.data.synthetic.write import image_size
from lvistk.errors import UserError

SETTINGS = GenerateSettings(
    images=60, val_images=24, pool_images=60, long_side=160, seed=5, workers=1
)


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def upright_image(index: int) -> np.ndarray:
    """Pool image `index` drawn once more, before it is turned and compressed."""
    rng = np.random.default_rng([SETTINGS.seed, SPLITS.index("pool"), index])
    popularity = Popularity(SETTINGS, "pool")
    wanted = plan_image(popularity, index, split="pool", share=0.0, rng=rng)
    size = image_size(SETTINGS, rng)
    return draw(wanted, kinds(SETTINGS.categories), size=size, rng=rng)[0]


def bytes_of(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "stage.json")
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "small"
    assert generate(out, settings=SETTINGS).state == "new"
    return out


def test_same_seed_same_bytes_whatever_the_workers(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", settings=replace(SETTINGS, workers=2))
    assert bytes_of(tmp_path / "again") == bytes_of(made)


def test_another_seed_draws_other_images(made: Path, tmp_path: Path) -> None:
    few = replace(SETTINGS, images=3, val_images=1, pool_images=1, seed=6)
    generate(tmp_path / "other", settings=few)
    name = "train2017/000000000001.jpg"
    assert (tmp_path / "other" / name).read_bytes() != (made / name).read_bytes()
    assert not set((tmp_path / "other").rglob("*.jpg")) & set(made.rglob("*.jpg"))


def test_images_do_not_depend_on_their_number(made: Path, tmp_path: Path) -> None:
    fewer = replace(SETTINGS, images=25, val_images=10, pool_images=15)
    generate(tmp_path / "fewer", settings=fewer)
    all_bytes, some = bytes_of(made), bytes_of(tmp_path / "fewer")
    images = [name for name in some if name.endswith(".jpg")]
    assert len(images) == 50
    assert {name: some[name] for name in images} == {name: all_bytes[name] for name in images}
    for name in ("train", "val", "train_full_truth", "openimages_full_truth"):
        few = load(tmp_path / "fewer" / f"annotations/{name}.json")
        many = load(made / f"annotations/{name}.json")
        ids = {image["id"] for image in few["images"]}
        assert few["images"] == many["images"][: len(few["images"])]
        assert few["annotations"] == [a for a in many["annotations"] if a["image_id"] in ids]
        assert [c["name"] for c in few["categories"]] == [c["name"] for c in many["categories"]]


def test_a_finished_folder_is_left_alone_and_another_refused(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    assert generate(made, settings=SETTINGS).state == "done"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(UserError, match="seed: 5 -> 7"):
        generate(made, settings=replace(SETTINGS, seed=7))


@pytest.mark.parametrize("name", ["train", "val", "train_full_truth", "openimages_full_truth"])
def test_lvis_api_reads_it(made: Path, name: str) -> None:
    api = LVIS(str(made / f"annotations/{name}.json"))
    data = api.dataset
    assert set(data) == {"info", "licenses", "images", "annotations", "categories"}
    assert sorted(api.cats) == list(range(1, SETTINGS.categories + 1))
    assert len(api.anns) == len(data["annotations"])
    for annotation in data["annotations"]:
        assert annotation["image_id"] in api.imgs
        assert all(len(part) >= 6 and len(part) % 2 == 0 for part in annotation["segmentation"])
        image = api.imgs[annotation["image_id"]]
        x, y, w, h = annotation["bbox"]
        assert x >= 0 and y >= 0 and w > 0 and h > 0
        assert x + w <= image["width"] + 0.01 and y + h <= image["height"] + 0.01
        area = api.ann_to_mask(annotation).sum()
        assert abs(area - annotation["area"]) <= 4 + 0.2 * annotation["area"]


def test_images_are_where_the_address_says(made: Path) -> None:
    for name in ("train", "val"):
        for image in load(made / f"annotations/{name}.json")["images"]:
            assert "file_name" not in image
            folder, file = image["coco_url"].split("/")[-2:]
            pixels = cv2.imread(str(made / folder / file))
            assert pixels is not None and pixels.shape == (image["height"], image["width"], 3)
            assert max(pixels.shape) == SETTINGS.long_side


def test_federated_rules(made: Path) -> None:
    """Absent means absent; an unannotated instance is unknown, incomplete, or missed in train."""
    noted, gt = (load(made / f"annotations/{name}.json") for name in ("train", "train_full_truth"))
    full = {row["id"]: row for row in gt["annotations"]}
    reasons = {"category": 0, "not_exhaustive": 0, "missed": 0}
    kept = {row["id"] for row in noted["annotations"]}
    for row in noted["annotations"]:
        assert full[row["id"]] == {**row, "annotated": True, "reason": ""}
    for image in noted["images"]:
        rows = [row for row in gt["annotations"] if row["image_id"] == image["id"]]
        present = {row["category_id"] for row in rows}
        positive = {row["category_id"] for row in rows if row["id"] in kept}
        negative = set(image["neg_category_ids"])
        incomplete = set(image["not_exhaustive_category_ids"])
        assert not negative & present
        assert incomplete <= positive
        for row in rows:
            if row["id"] in kept:
                continue
            category = row["category_id"]
            reasons[row["reason"]] += 1
            assert not row["annotated"]
            assert (row["reason"] == "category") == (category not in positive)
            if row["reason"] == "not_exhaustive":
                assert category in incomplete
    assert all(reasons.values())
    share = sum(reasons.values()) / len(full)
    assert share == pytest.approx(SETTINGS.unannotated_share, abs=0.06)


def test_full_gt_knows_every_category_of_every_image(made: Path) -> None:
    for name in ("train_full_truth", "openimages_full_truth"):
        data = load(made / f"annotations/{name}.json")
        for image in data["images"]:
            present = {
                a["category_id"] for a in data["annotations"] if a["image_id"] == image["id"]
            }
            negative = set(image["neg_category_ids"])
            assert not present & negative
            assert present | negative == set(range(1, SETTINGS.categories + 1))
            assert image["not_exhaustive_category_ids"] == []


def test_category_counts_are_those_of_the_train_annotations(made: Path) -> None:
    train = load(made / "annotations/train.json")
    val = load(made / "annotations/val.json")
    assert train["categories"] == val["categories"]
    for category in train["categories"]:
        rows = [a for a in train["annotations"] if a["category_id"] == category["id"]]
        images = len({a["image_id"] for a in rows})
        assert (category["image_count"], category["instance_count"]) == (images, len(rows))
        group = "r" if images <= 10 else "c" if images <= 100 else "f"
        assert category["frequency"] == group


def test_pool_list_and_rotation(made: Path) -> None:
    """Turning a stored image counter-clockwise by its Rotation gives the image of the ground truth."""
    with (made / "openimages/train-images-with-rotation.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert ",".join(rows[0]) == (
        "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
        "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation"
    )
    gt = load(made / "annotations/openimages_full_truth.json")
    upright = {image["coco_url"].split("/")[-1][:-4]: image for image in gt["images"]}
    assert {row["ImageID"] for row in rows} == set(upright)
    number = {name: image["id"] - gt["images"][0]["id"] for name, image in upright.items()}
    turned = set()
    for row in rows:
        name, rotation = row["ImageID"], row["Rotation"]
        assert len(name) == 16 and int(name, 16) >= 0
        data = (made / f"openimages/train_{name[0]}/{name}.jpg").read_bytes()
        assert row["OriginalMD5"] == base64.b64encode(hashlib.md5(data).digest()).decode()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert rotation in ("", "0.0", "90.0", "180.0", "270.0")
        turned.add(rotation)
        pixels = np.rot90(pixels, round(float(rotation or 0)) // 90)
        image = upright[name]
        assert pixels.shape[:2] == (image["height"], image["width"])
        drawn = upright_image(number[name])
        assert np.abs(pixels[..., ::-1].astype(float) - drawn).mean() < 12
    assert turned >= {"", "0.0", "90.0", "270.0"}
    assert len(list((made / "openimages").rglob("*.jpg"))) == SETTINGS.pool_images


def test_no_images_in_val_and_pool(tmp_path: Path) -> None:
    settings = replace(SETTINGS, images=1, val_images=0, pool_images=0, categories=1)
    generate(tmp_path / "one", settings=settings)
    assert load(tmp_path / "one/annotations/val.json")["images"] == []


@pytest.mark.parametrize(("name", "value"), [("images", 0), ("seed", -1), ("rare_share", 1.5)])
def test_impossible_settings(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} = {value}"):
        replace(SETTINGS, **{name: value})


def test_complete_val_annotates_and_verifies_everything(tmp_path: Path) -> None:
    """Train stays federated; in val every category is annotated or verified absent."""
    few = replace(SETTINGS, images=12, val_images=12, pool_images=0, val_complete=True)
    generate(tmp_path, settings=few)
    val, train = (load(tmp_path / f"annotations/{split}.json") for split in ("val", "train"))
    for image in val["images"]:
        present = {a["category_id"] for a in val["annotations"] if a["image_id"] == image["id"]}
        assert present | {*image["neg_category_ids"]} == {c["id"] for c in val["categories"]}
        assert not image["not_exhaustive_category_ids"]
    full = load(tmp_path / "annotations/train_full_truth.json")
    assert len(train["annotations"]) < len(full["annotations"])


def test_a_folder_of_an_earlier_release_is_still_done(made: Path, tmp_path: Path) -> None:
    """Its manifest lacks the settings that joined since."""
    manifest = load(made / "stage.json")
    del manifest["settings"]["val_complete"], manifest["crc32"]
    (tmp_path / "stage.json").write_text(json.dumps(manifest))
    assert generate(tmp_path, settings=SETTINGS).state == "done"
    with pytest.raises(UserError, match="val_complete"):
        generate(tmp_path, settings=replace(SETTINGS, val_complete=True))


def test_siblings_have_a_more_frequent_relative_of_each_rare_category() -> None:
    """Fourteen frequent, fourteen common and fourteen rare categories; the head is the solid mix's."""
    drawn = kinds(42, "siblings")
    assert drawn[:14] == kinds(14, "solid")
    assert {kind.family.name for kind in drawn[28:]} <= {kind.family.name for kind in drawn[:28]}
    assert len({kind.name for kind in drawn}) == 42
    assert len({kind.name for kind in kinds(60, "siblings")}) == 60


def test_needs_no_torch() -> None:
    code = "import sys, lvistk.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

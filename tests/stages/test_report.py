"""The page of ``lvistk report``: whole, self-contained, with the sections that its inputs allow."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from typer.testing import CliRunner

from lvistk.artifacts import read_manifest
from lvistk.cli.commands import app
from lvistk.data.synthetic import GenerateSettings, generate
from lvistk.errors import UserError
from lvistk.stages.commands.compare import run as compare
from lvistk.stages.commands.report import run

VOID = {"meta", "img", "link", "br", "hr", "input"}
DATA = GenerateSettings(
    images=8, val_images=8, pool_images=0, categories=4, long_side=96, workers=1, seed=3
)
EVERY = {"scores", "groups", "ratio", "counts", "precision", "errors", "categories", "images"}


class Page(HTMLParser):
    """Sections, and whether every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: set[str] = set()
        self.images = 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self.sections.add(str(given["id"]))
        if tag == "img":
            self.images += 1
            assert str(given["src"]).startswith("data:image/jpeg;base64,")
        for name, value in attrs:
            if name in ("src", "href", "action", "poster", "data"):
                assert re.match(r"data:|#", str(value)), (tag, name, value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag, attrs  # SVG's own

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def noisy_results(gt: Path, seed: int) -> list[dict]:
    """Results out of the annotations: shifted, renamed, left out, doubled."""
    data = json.loads(gt.read_text())
    rng = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    results = []
    for record in data["annotations"]:
        size = sizes[record["image_id"]]
        parts = coco_mask.frPyObjects(record["segmentation"], *size)
        mask = coco_mask.decode(coco_mask.merge(parts))
        for _ in range(rng.integers(0, 3)):
            moved = np.roll(mask, rng.integers(-2, 3, 2), (0, 1))
            coded = coco_mask.encode(np.asfortranarray(moved))
            category = record["category_id"] if rng.random() < 0.8 else int(rng.integers(1, 5))
            results.append(
                {
                    "image_id": record["image_id"],
                    "category_id": category,
                    "score": float(rng.random()),
                    "bbox": coco_mask.toBbox(coded).tolist(),
                    "segmentation": {"size": list(size), "counts": coded["counts"].decode()},
                }
            )
    return results


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations of one ground truth instance, below ``runs``; images in ``data``."""
    folder = tmp_path_factory.mktemp("report")
    generate(folder / "data", settings=DATA, force=False)
    gt = folder / "data" / "annotations" / "val.json"
    for k in range(2):
        results = folder / f"results{k}.json"
        results.write_text(json.dumps(noisy_results(gt, k)))
        out = folder / "runs" / f"score{k}"
        done = CliRunner().invoke(app, ["evaluate", str(gt), str(results), "--out", str(out)])
        assert done.exit_code == 0, done.output
    return folder


def text_of(page: Path) -> str:
    text = page.read_text()
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    return text


def test_page_of_two_evaluations(runs: Path) -> None:
    page = runs / "page.html"
    done = CliRunner().invoke(
        app,
        [
            *("report", str(runs / "runs"), "-o", str(page), "--images", str(runs / "data")),
            *("--examples", "3", "--threads", "1"),
        ],
    )
    assert done.exit_code == 0, done.output
    text = text_of(page)
    found = Page(text)
    assert found.sections >= EVERY | {"stages"}
    assert found.images == 6
    metrics = json.loads((runs / "runs" / "score1" / "metrics.json").read_text())
    assert f"{100 * metrics['segm']['AP']:.1f}" in text
    assert "training curves" in text  # named as absent at the foot
    assert not list(runs.glob(".page.html*"))


def test_foreign_scores_alone(runs: Path, tmp_path: Path) -> None:
    scores = tmp_path / "theirs" / "metrics.json"
    scores.parent.mkdir()
    scores.write_text('{"segm": {"AP": 0.25, "APr": null, "APc": 0.2, "APf": 0.3}}')
    page = run([scores, runs / "runs"], tmp_path / "page.html", examples=0, threads=1)
    found = Page(text_of(page))
    assert "scores" in found.sections and "images" not in found.sections
    alone = run([scores], examples=2)
    assert alone == scores.parent / "report.html"
    assert Page(text_of(alone)).sections == {"scores", "groups"}
    assert "only its metrics.json is known" in alone.read_text()


def test_changed_inputs_are_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = tmp_path / "score"
    stage.mkdir()
    for name in ("stage.json", "metrics.json", "per_category.json"):
        (stage / name).write_bytes((runs / "runs" / "score0" / name).read_bytes())
    manifest = read_manifest(stage)
    manifest["inputs"]["val"]["fingerprint"] = "another"
    (stage / "stage.json").write_text(json.dumps(manifest))
    text = text_of(run([stage]))
    assert "has changed since" in text
    told = capsys.readouterr().err
    assert told.count("has changed since: no images and no curves of that evaluation") == 1
    assert "errors" not in Page(text).sections


def test_names_are_escaped(tmp_path: Path) -> None:
    scores = tmp_path / "<b>&" / "metrics.json"
    scores.parent.mkdir()
    scores.write_text('{"bbox": {"AP": 0.5}}')
    text = run([scores]).read_text()
    assert "<b>&<" not in text and "&lt;b&gt;&amp;" in text
    Page(text)


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no stage folders"):
        run([tmp_path])


def test_scores_nested_too_deeply_are_one_line(tmp_path: Path) -> None:
    scores = tmp_path / "metrics.json"
    scores.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(UserError, match=r"metrics\.json: nested too deeply"):
        run([scores])


def test_compare_takes_the_stages(runs: Path, tmp_path: Path) -> None:
    stages = [str(runs / "runs" / f"score{k}") for k in range(2)]
    out = tmp_path / "differences.json"
    done = CliRunner().invoke(app, ["compare", *stages, "--samples", "20", "-o", str(out)])
    assert done.exit_code == 0, done.output
    written = json.loads(out.read_text())
    for side, stage in zip("ab", stages, strict=True):
        metrics = json.loads((Path(stage) / "metrics.json").read_text())
        assert written["scores"]["segm"][0][side] == metrics["segm"]["AP"]


def test_compare_refuses_other_rules(runs: Path, tmp_path: Path) -> None:
    stage = tmp_path / "score"
    stage.mkdir()
    manifest = read_manifest(runs / "runs" / "score0")
    manifest["settings"]["max_detections"] = 100
    (stage / "stage.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="different rules: max_detections"):
        compare(stage, runs / "runs" / "score0", samples=10)

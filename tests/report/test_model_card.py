"""Model cards: what the hub reads, what people read, and scores of the runs beside a model."""

import re
from pathlib import Path

import yaml

from lvistk.artifacts import read_manifest
from tests.command_line import Commands, evaluate, small_world, train_repr, tta_infer


def card_of(path: Path) -> tuple[dict, str]:
    """The YAML head and the Markdown body."""
    head, body = re.fullmatch(r"---\n(.*?)---\n(.*)", path.read_text(), re.DOTALL).groups()
    return yaml.safe_load(head), body


def test_a_training_writes_its_card(tmp_path: Path, lvistk: Commands) -> None:
    small_world(tmp_path, images=6)
    run = tmp_path / "runs" / "learn"
    assert lvistk(*train_repr(tmp_path, run)).code == 0
    head, body = card_of(run / "README.md")
    assert head["library_name"] == "lvistk" and head["pipeline_tag"] == "image-segmentation"
    assert "resnet18" in head["tags"] and "model-index" not in head
    assert body.startswith("\n# learn\n\nMask R-CNN with resnet18, ")
    assert "for 9 categories (9 frequent)" not in body and "- 9 categories (9 frequent)" in body
    assert "- train: `train.json`" in body and str(tmp_path) not in body
    assert "annotated instances in 6 images" in body and "4 categories have no training" in body
    assert "- `optim.schedule` = cosine" in body and "`loop.epochs` = 1" in body
    assert "short edge of 64 px" in body and "Not evaluated" in body
    assert "README.md" not in read_manifest(run)["outputs"]  # people may change it

    # later runs beside it: their scores come with export
    tta = tmp_path / "runs" / "tta"
    line = tta_infer(tmp_path, tta)
    line[line.index("--model") + 1] = run
    assert lvistk(*line).code == 0
    line = evaluate(tmp_path, tmp_path / "runs" / "score")
    line[2] = tta
    assert lvistk(*line).code == 0
    out = tmp_path / "card.md"
    done = lvistk("export", run, out, "--as", "card")
    assert done.code == 0 and "model card with 1 row of scores" in done.out[0]
    head, body = card_of(out)
    (result,) = head["model-index"][0]["results"]
    assert result["dataset"]["name"] == "train.json"
    assert {one["type"] for one in result["metrics"]} <= {"AP", "APr", "APc", "APf"}
    assert "| `train.json` | 1 view, short edges [64] | " in body


def test_no_card_of_other_things(tmp_path: Path, lvistk: Commands) -> None:
    told = lvistk("export", tmp_path, tmp_path / "card.md", "--as", "card").error()
    assert "no model.safetensors; give the folder of a training" in told
    told = lvistk("export", tmp_path, tmp_path / "a", "--as", "card", "--half").error()
    assert told == "--half is not for --as card, but for model, backbone"

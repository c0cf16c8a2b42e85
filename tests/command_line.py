"""The six commands on a handful of drawn images, called as the command line calls them."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from lvistk.cli import main
from lvistk.config.load import parse_assignments, update
from lvistk.config.model import ModelSettings
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.models.build import build_model
from lvistk.models.model_file import save_model
from tests.data.small_data import small_index

MODEL = (
    "model.canonical_size=12.0",
    "model.backbone.name=resnet18",
    "model.backbone.width=0.125",
    "model.backbone.norm=gn",
    "model.backbone.frozen_stages=0",
    "model.fpn.channels=16",
    "model.rpn.anchor_sizes=[10, 20, 40, 80, 160]",
    "model.rpn.pre_nms_train=60",
    "model.rpn.post_nms_train=30",
    "model.rpn.pre_nms_test=60",
    "model.rpn.post_nms_test=30",
    "model.rpn.batch_per_image=16",
    "model.classifier.eql.tail_images=6",
    "model.box.fc_channels=16",
    "model.box.batch_per_image=16",
    "model.box.class_agnostic=true",
    "model.mask.channels=16",
    "model.mask.convs=1",
)
TRAIN = (
    "augment.short_edges=[64]",
    "augment.long_edge=96",
    "sampler.repeat_images=4",
    "loader.workers=0",
    "optim.lr=0.02",
    "optim.lr_batch=0",
    "optim.clip_norm=10.0",
    "optim.warmup_steps=3",
    "optim.schedule=cosine",
    "loop.epochs=1",
    "loop.batch_size=4",
    "loop.log_steps=1",
    "loop.checkpoint_steps=1",
)
INFER = (
    "views.short_edges=[64]",
    "views.long_edge=96",
    "views.flip=false",
    "merge.max_detections=8",
    "predict.shard_images=4",
    "predict.workers=0",
)
UPGRADE = ("model.classifier.group_softmax.edges=[5, 8]",)
"""Changes to the defaults that keep a command below a second."""


class Done(NamedTuple):
    """How a command ended: exit code, and the lines that it said on either stream."""

    code: int
    out: list[str]
    err: list[str]

    def error(self) -> str:
        """The one line of a user's mistake; anything else fails."""
        assert self.code == 2, self
        lines = [line for line in self.err if not line.startswith("warning: ")]
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


class Commands:
    """Calls ``lvistk`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object) -> Done:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["lvistk", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out.splitlines(), err.splitlines())


def assign(*texts: str) -> list[str]:
    """``--set`` before each."""
    return [word for text in texts for word in ("--set", text)]


def train_repr(root: Path, out: Path) -> list[object]:
    """``train-repr`` on the images below ``root``; later options replace earlier ones."""
    given = ["--train", root / "train.json", "--train-images", root, "--out", out]
    return ["train-repr", *given, "--device", "cpu", *assign(*MODEL, *TRAIN)]


def finetune(root: Path, out: Path) -> list[object]:
    given = ["--train", root / "train.json", "--train-images", root, "--out", out]
    given += ["--model", root / "model.safetensors", "--device", "cpu"]
    return ["finetune", *given, *assign(*TRAIN, *UPGRADE)]


def tta_infer(root: Path, out: Path) -> list[object]:
    given = ["--model", root / "model.safetensors", "--val", root / "train.json"]
    given += ["--val-images", root, "--out", out, "--device", "cpu"]
    return ["tta-infer", *given, *assign(*INFER)]


def pseudo_label(root: Path, out: Path) -> list[object]:
    given = ["--source", "lvis", "--model", root / "model.safetensors"]
    given += ["--train", root / "train.json", "--train-images", root]
    given += ["--out", out, "--device", "cpu"]
    return ["pseudo-label", *given, *assign(*INFER, "merge.score_threshold=0.01")]


def filter_missing(root: Path, out: Path) -> list[object]:
    given = ["--detections", root / "seen", "--train", root / "train.json", "--out", out]
    return ["filter-missing", *given, "--set", "score=0.01"]


def evaluate(root: Path, out: Path) -> list[object]:
    plain = assign("boundary=false", "fixed=false")
    return ["evaluate", root / "train.json", root / "seen", "--out", out, *plain]


SIX = {
    "train-repr": train_repr,
    "pseudo-label": pseudo_label,
    "filter-missing": filter_missing,
    "finetune": finetune,
    "tta-infer": tta_infer,
    "evaluate": evaluate,
}


def small_world(root: Path, *, images: int = 12) -> AnnotationIndex:
    """Images, ``train.json`` and ``model.safetensors`` below ``root``, the model with drawn weights."""
    index = small_index(root, count=images)
    write_model(root / "model.safetensors", index)
    return index


def write_model(path: Path, index: AnnotationIndex) -> None:
    torch.manual_seed(0)
    table = parse_assignments(MODEL)["model"]
    save_model(
        path, build_model(update(ModelSettings(), table, where="test"), index.categories), extra={}
    )


def files_below(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

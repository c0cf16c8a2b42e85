"""Losses that count what they have seen: a run killed by the kernel counts on where it was."""

from pathlib import Path

import pytest
import torch

from lvistk.console import read_metrics
from lvistk.engine.checkpoint import read_newest
from lvistk.models.tensor_file import read_tensors
from lvistk.stages.pipelines.runner import run_stage
from tests.stages.test_train_repr import kill_after, lvistk
from tests.stages.tiny_run import tiny_pipeline

CLASSIFIER = "roi_heads.box_heads.0.classifier"


@pytest.mark.parametrize(
    ("kind", "counted"),
    [("eql_v2", ("balance.sums",)), ("seesaw", ("counts.counts",))],
)
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, kind: str, counted: tuple[str, ...]
) -> None:
    settings = (f"first.model.classifier.kind={kind}",)
    run_stage(tiny_pipeline(tmp_path, *settings).stage("first"), device="cpu")
    options = ("--set", settings[0], "--only", "first")
    out, log = tmp_path / "killed", tmp_path / "killed" / "first" / "metrics.jsonl"
    kill_after(tmp_path / "tiny.toml", out, log, *options, rows=4)

    newest = read_newest(out / "first" / "checkpoints")
    assert newest is not None and newest.table["step"] >= 2
    wanted = read_tensors(tmp_path / "runs" / "first" / "model.safetensors")
    for name in counted:
        then, last = newest.tensors[f"model.{CLASSIFIER}.{name}"], wanted[f"{CLASSIFIER}.{name}"]
        assert then.any() and not torch.equal(then, last)  # it goes on counting

    with lvistk("run", tmp_path / "tiny.toml", "--out", out, "--device", "cpu", *options) as again:
        said, error = again.communicate()
    assert again.returncode == 0, error
    assert f"resuming after step {newest.table['step']}" in said
    found = read_tensors(out / "first" / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
    losses = [[row["loss"] for row in read_metrics(p)] for p in (log, _log_of(tmp_path / "runs"))]
    assert losses[0] == losses[1]


def _log_of(runs: Path) -> Path:
    return runs / "first" / "metrics.jsonl"

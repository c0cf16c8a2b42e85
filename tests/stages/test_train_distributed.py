"""The whole pipeline on two gloo processes beside one; and compiled beside eager."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lvistk.console import read_metrics
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.runner import run_stage
from tests.stages.tiny_run import tiny_pipeline

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_have_the_loss_curves_of_one(tmp_path: Path) -> None:
    # Frozen norms and one canvas size: group norm and convolutions see the padding, whose size is
    # that of the largest image of a rank's part.
    assignments = [
        *("model.backbone.norm=frozen_bn", "augment.short_edges=[64]", "augment.long_edge=64"),
        *("loop.epochs=8", "loop.max_steps=20"),
    ]
    run_pipeline(tiny_pipeline(tmp_path, *assignments), device="cpu")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("-m", "lvistk", "run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "two")),
        *("--device", "cpu", *(f"--set={text}" for text in assignments)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for stage in ("first", "second"):
        one = read_metrics(tmp_path / "runs" / stage / "metrics.jsonl")
        two = read_metrics(tmp_path / "two" / stage / "metrics.jsonl")
        names = [n for n in one[0] if n not in ("photos_per_s", "data_share", "memory_gib")]
        curves = [torch.tensor([[row[n] for n in names] for row in rows]) for rows in (one, two)]
        assert curves[0].shape == (20, len(names))
        losses = [i for i, name in enumerate(names) if name != "grad_norm"]
        difference = (curves[0] - curves[1])[:, losses].abs()
        assert difference.max() <= 1e-4, f"{stage}: {difference.max(dim=0)}"


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor"
)  # torch's own, while it traces
def test_compiled_parts_train_as_eager_ones(tmp_path: Path) -> None:
    curves = []
    for compiled in ("false", "true"):
        settings = (f"loop.compile={compiled}", "loop.max_steps=3", f"out={tmp_path / compiled}")
        pipeline = tiny_pipeline(tmp_path, *settings)
        run_stage(pipeline.stage("first"), device="cpu")
        rows = read_metrics(tmp_path / compiled / "first" / "metrics.jsonl")
        curves.append(torch.tensor([row["loss"] for row in rows]))
    torch.testing.assert_close(curves[0], curves[1], rtol=1e-3, atol=1e-4)  # fused kernels round
